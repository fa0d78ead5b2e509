#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include <wait_time.hpp>

#include "conninfo.hpp"
#include "session_source.hpp"

namespace rowlock::postgres {

using detail::later;
using detail::wait_time;

/// Runs what waits in the server, in a session that was taken for that. It ends by itself at `w.until`; when `w.stop`
/// is requested, another session of the pool ends it. What it brought, or empty if it was ended where it could not say
/// anything more: then the session holds no advisory lock at all.
///
/// @param send sends it to that session, by a deadline
///
/// Blocks until `w` is over, and for two `operation_timeout` longer if the server does not answer.
/// @throws no_answer, deadlock_detected, rowlock::error
[[nodiscard]] std::optional<result> wait_in_server(session_source& sessions, session& s,
                                                   const std::function<void(deadline)>& send, const wait_bound& w,
                                                   std::chrono::milliseconds operation_timeout);

/// Ends waits in a connection that is somebody else's, from one of its own, which it opens when it first has to. It
/// hits nothing but waits for advisory locks, and has done what it can do when it returns.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class wait_ender {
public:
    wait_ender(conninfo to, std::string_view backend) : to_{std::move(to)}, backend_{backend} {}

    /// Until `waiting`, of the server process `pid`, has an answer, or `d` has passed. If no connection can be had, the
    /// server is asked in libpq's way, which takes a moment longer to be heard.
    void end_wait(session& waiting, int pid, deadline d);

private:
    void request(session& waiting, int pid, deadline d);

    const conninfo to_;
    const std::string_view backend_;
    std::optional<session> other_;
};

}  // namespace rowlock::postgres
