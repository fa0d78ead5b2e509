#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include <rowlock/backend.hpp>

#include "lock_key.hpp"
#include "session.hpp"

namespace rowlock::postgres {

/// What stands for one advisory lock in the session that holds it.
struct advisory_lock {
    lock_mode mode = lock_mode::exclusive;
    lock_keys keys{};
    std::int64_t permit = 0;  ///< the key of the permit
};

/// The statements of advisory locks on one session, and what their answers mean. They decide nothing about who may ask:
/// to PostgreSQL a session's second request for the same lock is always granted.
namespace advisory_sql {

/// One round trip; empty: somebody else has it, or waits for it.
/// @param shares_already the session already shares this name: ask whether somebody waits, whom PostgreSQL would
/// overtake
[[nodiscard]] std::optional<advisory_lock> try_lock(session& s, lock_mode mode, const lock_keys& keys,
                                                    std::span<const std::int64_t> permits, bool shares_already,
                                                    deadline d);

/// Exclusive locks of all these keys, in this order, or of none. One round trip.
/// @return how many could be had before the first that is busy; all: they are held, otherwise none is
[[nodiscard]] std::size_t try_all(session& s, std::span<const std::int64_t> keys, deadline d);

/// One round trip.
void unlock(session& s, const advisory_lock& l, deadline d);

/// Gives back all that the session holds, however often. One round trip.
void unlock_all(session& s, deadline d);

/// Whether the session holds it, as the server sees it.
[[nodiscard]] bool holds(session& s, const advisory_lock& l, deadline d);

/// A script that waits for a share or a permit in a session that holds none: in the server, at its place in the queue.
/// It ends by itself after `wait`, and when it is cancelled; then nothing is held, and the server's log has no error in
/// it.
[[nodiscard]] std::string wait_script(lock_mode mode, const lock_keys& keys, std::span<const std::int64_t> permits,
                                      std::optional<std::chrono::milliseconds> wait);

/// What the script brought. Empty: its time was over, it was cancelled, or the name is held in a mode that can only be
/// waited for by asking again.
[[nodiscard]] std::optional<advisory_lock> outcome_of(const result& r, lock_mode mode, const lock_keys& keys);

}  // namespace advisory_sql
}  // namespace rowlock::postgres
