#include "session_wait.hpp"

#include <string>
#include <utility>

#include <no_answer.hpp>
#include <odbc/errand.hpp>
#include <wait_time.hpp>

namespace rowlock::sqlserver {

void wait_aside(session_source& sessions, const std::shared_ptr<session_source::member>& at, const wait_bound& w,
                std::chrono::milliseconds operation_timeout, std::function<void(lease_session&)> wait) {
    odbc::errand call{[at, wait = std::move(wait)] { wait(at->s); }};
    if (call.done(w, operation_timeout)) return;
    constexpr auto silent = "SQL Server did not answer within the time allowed";
    sessions.give_up(at, silent);
    throw detail::no_answer{silent, {}};
}

bool get_while(lease_session& s, std::string_view resource, std::string_view mode, const wait_bound& w,
               std::chrono::milliseconds operation_timeout) {
    return s.get(resource, mode, detail::wait_time(w.until), detail::later(w.until, operation_timeout / 2), w.stop);
}

bool wait_for_applock(session_source& sessions, const std::shared_ptr<session_source::member>& at,
                      std::string_view resource, std::string_view mode, const wait_bound& w,
                      std::chrono::milliseconds operation_timeout) {
    const auto got = std::make_shared<bool>(false);
    wait_aside(sessions, at, w, operation_timeout, [=, r = std::string{resource}](lease_session& s) {
        *got = get_while(s, r, mode, w, operation_timeout);
    });
    return *got;
}

}  // namespace rowlock::sqlserver
