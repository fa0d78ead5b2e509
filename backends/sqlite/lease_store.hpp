#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include <rowlock/backend.hpp>
#include <rowlock/status.hpp>

#include "arena.hpp"
#include "statement.hpp"

namespace rowlock::sqlite {

/// A row of rowlock_lease.
struct lease_row {
    fencing_token token;
    lock_mode mode;
    request_id id;
    std::string owner;
    process_mark process;
    boot_clock::time_point expires_at;
    std::chrono::system_clock::time_point since;
};

/// A row of rowlock_ticket; `request.name` is left empty.
struct ticket_row {
    std::int64_t position;
    lock_request request;
    process_mark process;
    std::chrono::system_clock::time_point since;
};

/// The statements on rowlock's tables, prepared on one connection, and how their columns map to C++. It decides
/// nothing. Everything runs in the transaction that the caller has open, and throws `busy` or a `rowlock::error`.
class lease_store {
public:
    explicit lease_store(SQLite::Database& db);

    statement begin_read, begin_write, commit, roll_back;

    /// Enters the host's boot `id`: if it is not the last one seen, all leases and tickets end, and the number grows.
    /// Returns the number of the boot.
    std::int64_t enter_boot(const std::string& id);
    [[nodiscard]] bool knows_boot(const std::string& id);

    [[nodiscard]] std::vector<lease_row> leases(const std::string& name);
    void add_lease(const std::string& name, const lease_row& l);
    void remove_lease(const std::string& name, fencing_token token);
    void remove_lease(const std::string& name, const request_id& id);

    /// In the order in which they are to be served.
    [[nodiscard]] std::vector<ticket_row> tickets(const std::string& name);
    void add_ticket(const lock_request& r, const process_mark& process);
    void remove_ticket(const std::string& name, const ticket_row& t);

    /// The next token of the name: above its last one, `floor`, and the floor of purged names.
    fencing_token next_token(const std::string& name, std::int64_t floor);

    /// Moves the end of those leases, all of one provider, that have not ended at `now`; the numbers of those it moved.
    std::unordered_set<std::uint64_t> renew(std::span<const lock_request* const> held, boot_clock::time_point now,
                                            boot_clock::time_point expires_at);
    [[nodiscard]] bool is_held(const lock_request& r, boot_clock::time_point now);
    /// In any transaction on `db`: writes to the lease's row without changing it, which keeps other writers out until
    /// the transaction ends. False: there is no such lease, or it has ended by the time it is pinned.
    static bool pin(SQLite::Database& db, const lock_request& r);

    void record_break(const std::string& name, const lease_row& l, const std::string& reason, const std::string& by);
    /// "broken by BY: REASON", or empty if nobody broke it.
    [[nodiscard]] std::string break_of(const request_id& id);

    /// Every name with a lease or a ticket, sorted.
    [[nodiscard]] std::vector<std::string> names_in_use();

    /// Forgets names without leases and tickets that were last granted before `before`; how many.
    std::size_t purge(std::chrono::system_clock::time_point before);

private:
    statement boot_, enter_boot_, end_leases_, end_tickets_;
    statement leases_, add_lease_, remove_lease_, release_;
    statement tickets_, add_ticket_, remove_ticket_;
    statement last_token_, set_token_, add_name_, token_floor_;
    statement renew_, is_held_;
    statement record_break_, break_of_;
    statement names_, raise_floor_, purge_;
};

}  // namespace rowlock::sqlite
