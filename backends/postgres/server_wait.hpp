#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "session_pool.hpp"

namespace rowlock::postgres {

/// How long a statement may wait in the server: rounded up, so that nobody is told too early. Empty: for ever.
[[nodiscard]] std::optional<std::chrono::milliseconds> wait_time(deadline until);

/// Runs a script that waits in the server, in a session that was taken for that. The script ends by itself at
/// `w.until`; when `w.stop` is requested, another session of the pool ends it. What it brought, or empty if it was
/// ended where it could not say anything more: then the session holds no advisory lock at all.
///
/// Blocks until `w` is over, and for two `operation_timeout` longer if the server does not answer.
/// @throws no_answer, deadlock_detected, rowlock::error
[[nodiscard]] std::optional<result> wait_in_server(session_pool& sessions, session& s, const std::string& script,
                                                   const wait_bound& w, std::chrono::milliseconds operation_timeout);

}  // namespace rowlock::postgres
