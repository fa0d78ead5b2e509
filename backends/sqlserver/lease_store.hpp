#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <rowlock/backend.hpp>

#include <connection_source.hpp>
#include <lease_answer.hpp>
#include <wait_result.hpp>

#include "lease_session.hpp"
#include "resource_name.hpp"

namespace rowlock::sqlserver {

/// The batches on rowlock's tables, and how their columns map to C++; one round trip each, and nothing decided.
/// Everything throws as `lease_session::run`. What each one is for, `detail::row_leases` says.
struct lease_store {
    static constexpr std::string_view name = "sqlserver+lease";
    static constexpr std::string_view server = "SQL Server";
    // The view that has the waits wants the right to look at the whole server.
    static constexpr bool sees_waiters = false;
    static constexpr bool tells_of_breaks = false;
    static constexpr bool waits_at_once = false;  // a statement for the queue, one for the bell, one to take it
    using session = lease_session;
    using keys = lease_keys;

    std::string schema;

    [[nodiscard]] keys keys_of(std::string_view n) const { return lease_keys_of(schema, n); }

    /// Has the server prepare what takes a lease, and what renews it.
    static void get_ready(session& s, deadline d);
    /// Asks the server whether the connection may be used.
    static void check_ready(session& s, deadline d);
    [[nodiscard]] static bool is_taken(session& s, const std::string& n, deadline d);
    [[nodiscard]] static detail::lease_answer take(session& s, const lock_request& r, const keys& k,
                                                   detail::lease_manners m, deadline d);
    [[nodiscard]] detail::lease_answer upgrade(session& s, const lock_request& r, deadline d) const;
    static void announce_upgrade(session& s, const lock_request& r, bool waits, deadline d);
    bool reap(session& s, const std::string& n, deadline d) const;
    static void release(session& s, const lock_request& r, const keys& k, bool bell, deadline d);
    static void release_bell(session& s, lock_mode mode, const keys& k, deadline d);

    /// The batch that took the lease has left the queue, too.
    static void leave_queue(session&, const keys&, deadline) {}
    static void unlock_all(session& s, const keys& k, deadline d);

    [[nodiscard]] static std::optional<detail::found_lease> find(session& s, const lock_request& r, deadline d);

    [[nodiscard]] static std::unordered_set<std::uint64_t> renew(session& s, std::span<const lock_request* const> held,
                                                                 deadline d);
    [[nodiscard]] static std::unordered_map<std::uint64_t, std::string> breaks(session& s, std::uint64_t provider,
                                                                               std::span<const std::int64_t> numbers,
                                                                               deadline d);
    [[nodiscard]] static std::size_t break_all(session& s, std::string_view n, std::string_view reason,
                                               std::string_view by, deadline d);
    [[nodiscard]] static std::size_t purge(session& s, std::chrono::milliseconds idle, deadline d);
    [[nodiscard]] static std::vector<detail::lease_row> rows(session& s, std::string_view prefix, deadline d);
    [[nodiscard]] static std::vector<std::pair<std::string, waiter_status>> waiters(session&,
                                                                                    std::span<const std::string>,
                                                                                    deadline) {
        return {};
    }

    using source = detail::connection_source<session>;
    [[nodiscard]] static detail::wait_result wait_for_queue(source& sessions, const source::use& here, const keys& k,
                                                            const wait_bound& w,
                                                            std::chrono::milliseconds operation_timeout);
    [[nodiscard]] static detail::wait_result wait_for_bell(source& sessions, const source::use& here, const keys& k,
                                                           bool shared, const wait_bound& w,
                                                           std::chrono::milliseconds operation_timeout);
    [[nodiscard]] static detail::queue_place wait_for_both(source& sessions, const source::use& here, const keys& k,
                                                           bool shared, const wait_bound& w,
                                                           std::chrono::milliseconds patience,
                                                           std::chrono::milliseconds operation_timeout);
};

}  // namespace rowlock::sqlserver
