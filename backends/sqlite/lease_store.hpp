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

/// A row of rowlock_lease: somebody who holds a name, or waits for it. `request.name` is left empty.
struct claim {
    lock_request request;
    process_mark process;
    std::int64_t position = 0;  ///< of a holder its token, of a waiter its place in the queue
    bool waits = false;
    boot_clock::time_point expires_at{};  ///< of a holder
    std::chrono::system_clock::time_point since{};

    [[nodiscard]] fencing_token token() const noexcept { return fencing_token{static_cast<std::uint64_t>(position)}; }
};

/// The statements on rowlock's tables, prepared on one connection, and how their columns map to C++. It decides
/// nothing. Everything runs in the transaction that the caller has open, and throws `busy` or a `rowlock::error`.
class lease_store {
public:
    explicit lease_store(SQLite::Database& db);

    statement begin_read, begin_write, commit, roll_back;

    /// Enters the host's boot `id`: if it is not the last one seen, all leases and waits end, and the number grows.
    /// Returns the number of the boot.
    std::int64_t enter_boot(const std::string& id);
    [[nodiscard]] bool knows_boot(const std::string& id);

    /// Who holds the name, and then who waits for it, in the order in which they are to be served.
    [[nodiscard]] std::vector<claim> claims(const std::string& name);
    /// Only those who hold it.
    [[nodiscard]] std::vector<claim> holders(const std::string& name);
    void add(const std::string& name, const claim& c);
    /// The place of a waiter is the next one in the queue, whatever `c.position` says.
    void add_to_queue(const std::string& name, const claim& c);
    void remove(const std::string& name, const claim& c);
    /// Removes the lease of that acquisition, if there is one.
    void remove_lease(const std::string& name, const request_id& id);

    /// The next token of the name: above its last one, `floor`, and the floor of purged names.
    fencing_token next_token(const std::string& name, std::int64_t floor);

    /// Moves the end of those leases, all of one provider, that have not ended at `now`; the numbers of those it moved.
    std::unordered_set<std::uint64_t> renew(std::span<const lock_request* const> held, boot_clock::time_point now,
                                            boot_clock::time_point expires_at);
    [[nodiscard]] bool is_held(const lock_request& r, boot_clock::time_point now);
    /// In any transaction on `db`: writes to the lease's row without changing it, which keeps other writers out until
    /// the transaction ends. False: there is no such lease, or it has ended by the time it is pinned.
    static bool pin(SQLite::Database& db, const lock_request& r);

    void record_break(const std::string& name, const claim& c, const std::string& reason, const std::string& by);
    /// "broken by BY: REASON", or empty if nobody broke it.
    [[nodiscard]] std::string break_of(const request_id& id);

    /// Every name that somebody holds or waits for, sorted.
    [[nodiscard]] std::vector<std::string> names_in_use();

    /// Forgets names that nobody holds or waits for and that were last granted before `before`; how many.
    std::size_t purge(std::chrono::system_clock::time_point before);

private:
    statement boot_, enter_boot_, end_all_;
    statement claims_, holders_, add_, add_to_queue_, remove_, remove_lease_;
    statement last_token_, set_token_, add_name_, token_floor_;
    statement renew_, is_held_;
    statement record_break_, break_of_;
    statement names_, raise_floor_, purge_;
};

}  // namespace rowlock::sqlite
