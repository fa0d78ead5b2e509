#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <rowlock/backend.hpp>

#include <lease_answer.hpp>
#include <wait_result.hpp>

#include "session.hpp"
#include "session_source.hpp"

namespace rowlock::postgres {

/// The advisory keys of a leased name. `queue` is held by the one waiter who is at the head of the queue, `bell` by who
/// holds the lease: giving it back wakes the head. Leases of two schemas have nothing to do with each other, so their
/// keys differ: they are derived from the name with "SCHEMA.lease queue" and "SCHEMA.lease bell" (lock_key.hpp).
struct lease_keys {
    std::int64_t queue = 0, bell = 0;
};
[[nodiscard]] lease_keys lease_keys_of(std::string_view schema, std::string_view name);

/// As PostgreSQL, which has no unsigned numbers, keeps the parts of a request's id.
[[nodiscard]] constexpr std::int64_t as_int(std::uint64_t n) noexcept { return static_cast<std::int64_t>(n); }

/// The statements on rowlock's tables, and how their columns map to C++; one round trip each, and nothing decided.
/// Everything throws as `session::run`. What each one is for, `detail::row_leases` says.
struct lease_store {
    static constexpr std::string_view name = "postgresql+lease";
    static constexpr std::string_view server = "PostgreSQL";
    static constexpr bool sees_waiters = true;
    static constexpr bool tells_of_breaks = true;
    static constexpr bool waits_at_once = true;
    using session = postgres::session;
    using keys = lease_keys;

    std::string schema;

    [[nodiscard]] keys keys_of(std::string_view n) const { return lease_keys_of(schema, n); }

    /// Whether somebody holds `name` exclusively. Costs a fraction of a try.
    [[nodiscard]] static bool is_taken(session& s, const std::string& name, deadline d);
    [[nodiscard]] static detail::lease_answer take(session& s, const lock_request& r, const lease_keys& k,
                                                   detail::lease_manners m, deadline d);
    [[nodiscard]] static detail::lease_answer upgrade(session& s, const lock_request& r, deadline d);
    /// Lets nobody else in while `r` waits to upgrade.
    static void announce_upgrade(session& s, const lock_request& r, bool waits, deadline d);
    /// Frees the parts of those whose lease has run out. False: some were locked at this moment.
    static bool reap(session& s, const std::string& name, deadline d);
    /// Also gives the bell back, if this session has it. Nothing happens to a lease that `r.id` does not hold.
    static void release(session& s, const lock_request& r, const lease_keys& k, bool bell, deadline d);
    /// Gives back the bell of a lease that was lost.
    static void release_bell(session& s, lock_mode mode, const lease_keys& k, deadline d);

    /// Gives back the place at the head of the queue, without waiting for the answer.
    static void leave_queue(session& s, const lease_keys& k, deadline d);
    /// Gives back all that the session holds.
    static void unlock_all(session& s, const keys& k, deadline d);

    /// What is left of the lease of `r.id`, and its token; empty: it holds none.
    [[nodiscard]] static std::optional<detail::found_lease> find(session& s, const lock_request& r, deadline d);

    /// Exclusive leases of different names, in ascending order, of one provider and owner.
    [[nodiscard]] static detail::several_answer take_all(session& s, std::span<const lock_request> all,
                                                         std::span<const lease_keys> keys, bool bell, deadline d);
    /// Those of `all` that are held.
    [[nodiscard]] static std::vector<detail::several_lease> find_all(session& s, std::span<const lock_request> all,
                                                                     deadline d);

    /// Moves the end of those leases that have not ended; the numbers of those it moved.
    [[nodiscard]] static std::unordered_set<std::uint64_t> renew(session& s, std::span<const lock_request* const> held,
                                                                 deadline d);
    /// "broken by BY: REASON" of each of those that somebody broke.
    [[nodiscard]] static std::unordered_map<std::uint64_t, std::string> breaks(session& s, std::uint64_t provider,
                                                                               std::span<const std::int64_t> numbers,
                                                                               deadline d);

    /// How many held it. They are told through the channel that `break_listener` listens to.
    [[nodiscard]] static std::size_t break_all(session& s, std::string_view name, std::string_view reason,
                                               std::string_view by, deadline d);

    /// Forgets names that nobody holds, or waits for, and that were last granted `idle` ago or longer; how many.
    [[nodiscard]] static std::size_t purge(session& s, std::chrono::milliseconds idle, deadline d);

    [[nodiscard]] static std::vector<detail::lease_row> rows(session& s, std::string_view prefix, deadline d);
    /// Who waits for one of these names in the server, in the order in which they came.
    [[nodiscard]] std::vector<std::pair<std::string, waiter_status>> waiters(session& s,
                                                                             std::span<const std::string> names,
                                                                             deadline d) const;

    /// All wait in the server, as `wait_for_key` and `wait_for_both`.
    [[nodiscard]] static detail::wait_result wait_for_queue(session_source& sessions, const session_source::use& here,
                                                            const keys& k, const wait_bound& w,
                                                            std::chrono::milliseconds operation_timeout);
    [[nodiscard]] static detail::wait_result wait_for_bell(session_source& sessions, const session_source::use& here,
                                                           const keys& k, bool shared, const wait_bound& w,
                                                           std::chrono::milliseconds operation_timeout);
    [[nodiscard]] static detail::queue_place wait_for_both(session_source& sessions, const session_source::use& here,
                                                           const keys& k, bool shared, const wait_bound& w,
                                                           std::chrono::milliseconds patience,
                                                           std::chrono::milliseconds operation_timeout);
};

}  // namespace rowlock::postgres
