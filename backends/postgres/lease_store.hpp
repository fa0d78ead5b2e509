#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <rowlock/backend.hpp>

#include "session.hpp"

namespace rowlock::postgres {

/// The advisory keys of a leased name. `queue` is held by the one waiter who is at the head of the queue, `bell` by who
/// holds the lease: giving it back wakes the head. Leases of two schemas have nothing to do with each other, so their
/// keys differ: they are made of the name, a NUL byte, "SCHEMA.lease queue" and "SCHEMA.lease bell".
struct lease_keys {
    std::int64_t queue = 0, bell = 0;
};
[[nodiscard]] lease_keys lease_keys_of(std::string_view schema, std::string_view name);

/// What a try for a lease brought.
struct lease_answer {
    std::optional<fencing_token> token{};    ///< granted
    bool bell = false;                       ///< granted, and this session holds the bell
    bool dead_parts = false;                 ///< busy, but some who hold it have run out: `reap`, then try again
    bool contended = false;                  ///< busy, because the row was just being written
    bool lost = false;                       ///< an upgrade: there is nothing to upgrade any more
    std::chrono::milliseconds expires_in{};  ///< busy: until when the holder does not give way by itself
};

/// The statements on rowlock's tables, and how their columns map to C++; one round trip each, and nothing decided.
/// Everything throws as `session::run`.
namespace lease_store {

/// How a try goes about the advisory locks that wake waiters.
struct manners {
    bool bell = true;       ///< take the bell with the lease
    bool head = false;      ///< the caller is the head of the queue: nobody is overtaken
    bool has_bell = false;  ///< this session has the bell already
};

/// Whether somebody holds `name` exclusively. Costs a fraction of a try.
[[nodiscard]] bool is_taken(session& s, const std::string& name, deadline d);
[[nodiscard]] lease_answer take(session& s, const lock_request& r, const lease_keys& k, manners m, deadline d);
[[nodiscard]] lease_answer upgrade(session& s, const lock_request& r, deadline d);
/// Lets nobody else in while `r` waits to upgrade.
void announce_upgrade(session& s, const lock_request& r, bool waits, deadline d);
/// Frees the parts of those whose lease has run out.
void reap(session& s, const std::string& name, deadline d);
/// Also gives the bell back, if this session has it. Nothing happens to a lease that `r.id` does not hold.
void release(session& s, const lock_request& r, const lease_keys& k, bool bell, deadline d);
/// Gives back the bell of a lease that was lost.
void release_bell(session& s, lock_mode mode, const lease_keys& k, deadline d);

/// Gives back the place at the head of the queue, without waiting for the answer.
void leave_queue(session& s, const lease_keys& k, deadline d);

/// What is left of the lease of `r.id`, and its token; empty: it holds none.
struct lease {
    lock_mode mode;
    fencing_token token;
    std::chrono::milliseconds left;
};
[[nodiscard]] std::optional<lease> find(session& s, const lock_request& r, deadline d);

/// One of several leases that were asked for together: which, by its index among the requests.
struct several_lease {
    std::size_t at;
    fencing_token token;
    bool bell = false;                 ///< this session has its bell
    std::chrono::milliseconds left{};  ///< found: how long it still is
};
struct several_answer {
    static constexpr auto nobody = static_cast<std::size_t>(-1);
    std::vector<several_lease> granted{};  ///< all of them or, but for a rare race, none
    std::size_t busy = nobody;             ///< the first that somebody else has
    bool dead_parts = false;               ///< that one: some who hold it have run out
};
/// Exclusive leases of different names, in ascending order, of one provider and owner.
[[nodiscard]] several_answer take_all(session& s, std::span<const lock_request> all, std::span<const lease_keys> keys,
                                      bool bell, deadline d);
/// Those of `all` that are held.
[[nodiscard]] std::vector<several_lease> find_all(session& s, std::span<const lock_request> all, deadline d);

/// Moves the end of those leases that have not ended; the numbers of those it moved.
[[nodiscard]] std::unordered_set<std::uint64_t> renew(session& s, std::span<const lock_request* const> held,
                                                      deadline d);
/// "broken by BY: REASON" of each of those that somebody broke.
[[nodiscard]] std::unordered_map<std::uint64_t, std::string> breaks(session& s, std::uint64_t provider,
                                                                    std::span<const std::int64_t> numbers, deadline d);

/// How many held it. They are told through the channel that `break_listener` listens to.
[[nodiscard]] std::size_t break_all(session& s, std::string_view name, std::string_view reason, std::string_view by,
                                    deadline d);

/// Forgets names that nobody holds, or waits for, and that were last granted `idle` ago or longer; how many.
[[nodiscard]] std::size_t purge(session& s, std::chrono::milliseconds idle, deadline d);

/// One who holds a lease, or waits to upgrade one, or a name without any.
struct row {
    std::string name;
    std::optional<holder_status> holder{};
    std::optional<waiter_status> waiter{};
};
[[nodiscard]] std::vector<row> rows(session& s, std::string_view prefix, deadline d);
/// Who waits for one of the keys, or holds it, in the order in which they came.
struct key_row {
    std::int64_t key;
    bool granted;
    waiter_status who;
};
[[nodiscard]] std::vector<key_row> key_rows(session& s, deadline d);

}  // namespace lease_store
}  // namespace rowlock::postgres
