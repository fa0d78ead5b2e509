#include "server_wait.hpp"

#include <algorithm>
#include <stop_token>

namespace rowlock::postgres {
namespace {

using namespace std::chrono_literals;

// $1 server process, which must be of the same role. Before it waits there is nothing to end, and after that it would
// be an error in the server's log.
constexpr statement cancel_wait{"rowlock_cancel_wait", R"sql(
SELECT pg_cancel_backend(pid) FROM pg_stat_get_activity($1::bigint::integer) AS a
WHERE a.wait_event_type = 'Lock')sql"};

// A process that is killed while it waits leaves the queue, since the server looks for it twice a second. For this wait
// only: it costs a timer, which every statement would have to pay for.
constexpr auto notice_death = "SET LOCAL client_connection_check_interval = 500; ";

constexpr statement unlock_everything{"rowlock_unlock_all", "SELECT pg_advisory_unlock_all()"};

// lock_timeout is an int of milliseconds: 24.8 days. Who waits longer waits again.
constexpr std::chrono::milliseconds longest_wait{2'147'483'647};

deadline later(deadline d, std::chrono::milliseconds by) {
    return d.is_never() || deadline::clock::time_point::max() - d.at() < by ? deadline::never() : deadline{d.at() + by};
}

// Asks for it again until it has happened, because it can be asked for before the wait has begun.
void end_wait(session_pool& sessions, session& waiting, deadline d) {
    try {
        for (auto interval = 1ms; !d.expired(); interval = std::min(2 * interval, 100ms)) {
            {
                const auto other = sessions.any(d);
                (void)other->run(cancel_wait, d, std::int64_t{waiting.pid});
            }
            waiting.clear_wake();
            if (waiting.await_answer(std::min(d, deadline::after(interval)))) return;
        }
    } catch (const error&) {  // collecting the answer fails, too, and closes the session, which ends the wait
    }
}

}  // namespace

std::optional<std::chrono::milliseconds> wait_time(deadline until) {
    if (until.is_never()) return std::nullopt;
    return std::clamp(std::chrono::ceil<std::chrono::milliseconds>(until.remaining()), 1ms, longest_wait);
}

std::optional<result> wait_in_server(session_pool& sessions, session& s, const std::string& script, const wait_bound& w,
                                     std::chrono::milliseconds operation_timeout) {
    const auto operation = [&] { return deadline::after(operation_timeout); };
    s.clear_wake();
    const std::stop_callback on_stop{w.stop, [&s] { s.wake(); }};
    s.send_script(notice_death + script, operation());
    if (!s.await_answer(later(w.until, operation_timeout)) && w.stop.stop_requested())
        end_wait(sessions, s, operation());
    try {
        return s.collect(operation());
    } catch (const no_answer&) {
        throw;
    } catch (const error& e) {
        (void)s.run(unlock_everything, operation());
        if (e.sqlstate() == sqlstate::query_canceled || e.sqlstate() == sqlstate::lock_not_available)
            return std::nullopt;  // the end of the wait fell between two statements
        throw;
    }
}

}  // namespace rowlock::postgres
