#pragma once

#include <chrono>
#include <cstdint>

#include <lease_answer.hpp>
#include <wait_result.hpp>

#include "session_source.hpp"

namespace rowlock::postgres {

using detail::wait_result;

/// Waits in the server for one advisory key, at its place in the queue, in a session that may hold others. What was
/// granted as the wait was ended counts as granted.
///
/// Blocks as `wait_in_server`.
/// @throws no_answer, deadlock_detected, rowlock::error the session holds none of its keys any more
[[nodiscard]] wait_result wait_for_key(session_source& sessions, session& s, std::int64_t key, bool shared,
                                       const wait_bound& w, std::chrono::milliseconds operation_timeout);

/// The same for the key of a queue, and behind it, without another round trip, `patience` long for the key of a bell.
[[nodiscard]] detail::queue_place wait_for_both(session_source& sessions, session& s, std::int64_t queue,
                                                std::int64_t bell, bool shared, const wait_bound& w,
                                                std::chrono::milliseconds patience,
                                                std::chrono::milliseconds operation_timeout);

}  // namespace rowlock::postgres
