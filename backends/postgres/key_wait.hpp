#pragma once

#include <chrono>
#include <cstdint>

#include "session_source.hpp"

namespace rowlock::postgres {

/// Waits in the server for one advisory key, at its place in the queue, in a session that may hold others. True: the
/// session holds it, also if the grant came as the wait was ended.
///
/// Blocks as `wait_in_server`.
/// @throws no_answer, deadlock_detected, rowlock::error the session holds none of its keys any more
[[nodiscard]] bool wait_for_key(session_source& sessions, session& s, std::int64_t key, bool shared,
                                const wait_bound& w, std::chrono::milliseconds operation_timeout);

}  // namespace rowlock::postgres
