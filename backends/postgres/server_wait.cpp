#include "server_wait.hpp"

#include <algorithm>
#include <stop_token>

#include "advisory_sql.hpp"

namespace rowlock::postgres {
namespace {

using namespace std::chrono_literals;

// $1 server process, which must be of the same role. Before it waits there is nothing to end, and after that it would
// be an error in the server's log.
constexpr statement cancel_wait{"rowlock_cancel_wait", R"sql(
SELECT pg_cancel_backend(pid) FROM pg_stat_get_activity($1::bigint::integer) AS a
WHERE a.wait_event_type = 'Lock')sql"};

// The same for a wait in a connection that will go on to serve other purposes: a request that the server gets to late
// must not hit what runs then.
constexpr statement cancel_advisory_wait{"rowlock_cancel_advisory_wait", R"sql(
SELECT pg_cancel_backend(pid) FROM pg_stat_get_activity($1::bigint::integer) AS a
WHERE a.wait_event_type = 'Lock' AND a.wait_event = 'advisory'
  AND (strpos(a.query, 'rowlock') > 0 OR a.state = 'disabled'))sql"};

// Asks for it again until it has happened, because it can be asked for before the wait has begun.
template <class Request>
void end_by(const Request& request, session& waiting, deadline d) {
    for (auto interval = 1ms; !d.expired(); interval = std::min(2 * interval, 100ms)) {
        request();
        waiting.clear_wake();
        if (waiting.await_answer(std::min(d, deadline::after(interval)))) return;
    }
}

void end_wait(session_source& sessions, session& waiting, deadline d) {
    try {
        end_by([&] { (void)sessions.any(d)->run(cancel_wait, d, std::int64_t{waiting.pid}); }, waiting, d);
    } catch (const error&) {  // collecting the answer fails, too, and closes the session, which ends the wait
    }
}

}  // namespace

void wait_ender::end_wait(session& waiting, int pid, deadline d) {
    end_by([&] { request(waiting, pid, d); }, waiting, d);
}

void wait_ender::request(session& waiting, int pid, deadline d) {
    try {
        if (!other_ || !other_->usable()) {
            other_.emplace(to_, backend_, d);
            other_->prepares = false;
        }
        (void)other_->run(cancel_advisory_wait, d, std::int64_t{pid});
    } catch (const error&) {
        other_.reset();
        if (!d.expired()) waiting.request_cancel();
    }
}

std::optional<result> wait_in_server(session_source& sessions, session& s, const std::function<void(deadline)>& send,
                                     const wait_bound& w, std::chrono::milliseconds operation_timeout) {
    const auto operation = [&] { return deadline::after(operation_timeout); };
    s.clear_wake();
    const std::stop_callback on_stop{w.stop, [&s] { s.wake(); }};
    send(operation());
    if (!s.await_answer(later(w.until, operation_timeout)) && w.stop.stop_requested())
        end_wait(sessions, s, operation());
    try {
        return s.collect(operation());
    } catch (const no_answer&) {
        throw;
    } catch (const error& e) {
        try {
            advisory_sql::unlock_all(s, operation());
        } catch (...) {
            s.abandon();  // closing it gives back what it holds
            throw;
        }
        if (e.sqlstate() == sqlstate::query_canceled || e.sqlstate() == sqlstate::lock_not_available)
            return std::nullopt;  // the end of the wait fell between two statements
        throw;
    }
}

}  // namespace rowlock::postgres
