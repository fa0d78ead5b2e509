#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string_view>

#include <connection_source.hpp>

#include "lease_session.hpp"

namespace rowlock::sqlserver {

using session_source = detail::connection_source<lease_session>;

/// Calls `wait`, which waits in the server, in a session that nobody else uses meanwhile. In a thread of its own, as a
/// driver may not come back from a network that is dead, or from a cancellation. Blocks until `w` is over and, where
/// the server does not answer, `operation_timeout` longer; then the session is given up, though `wait` may still be in
/// it: so what that uses must be its own, or shared with it.
/// @throws no_answer the session is gone
/// @throws what `wait` throws
void wait_aside(session_source& sessions, const std::shared_ptr<session_source::member>& at, const wait_bound& w,
                std::chrono::milliseconds operation_timeout, std::function<void(lease_session&)> wait);

/// Takes an applock, `applock_session::get`, in the calling thread.
/// @throws no_answer; deadlock_detected, connection_error
[[nodiscard]] bool get_while(lease_session& s, std::string_view resource, std::string_view mode, const wait_bound& w,
                             std::chrono::milliseconds operation_timeout);

/// The same aside. False: the wait is over.
[[nodiscard]] bool wait_for_applock(session_source& sessions, const std::shared_ptr<session_source::member>& at,
                                    std::string_view resource, std::string_view mode, const wait_bound& w,
                                    std::chrono::milliseconds operation_timeout);

}  // namespace rowlock::sqlserver
