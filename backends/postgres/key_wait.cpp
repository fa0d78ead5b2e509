#include "key_wait.hpp"

#include <string>

#include "advisory_sql.hpp"
#include "filled.hpp"
#include "server_wait.hpp"

namespace rowlock::postgres {
namespace {

using namespace std::chrono_literals;

// Nobody ends it, so nothing has to be caught. $1 key.
constexpr statement exclusive_for_ever{"rowlock_wait_exclusive", R"sql(
SELECT CASE WHEN pg_try_advisory_lock($1) THEN 'at once'
            WHEN pg_advisory_lock($1) IS NOT NULL THEN 'granted' END)sql"};

// An error that a block of PL/pgSQL catches does not get into the server's log: a timeout is none of its business. What
// is set ends with the script, or with the block that an error ends. All there is to do is done in one expression, as
// each is planned anew. {wait} in milliseconds, 0 is for ever; {shared} is the end of the functions' names.
//
// A wait can be ended twice, by its timeout and because the server is asked to: the second comes as soon as the first
// has been caught, and is caught by the outer block. The inner one says once more what is so already, because that
// takes a moment, in which most of those that come later still are caught, too.
constexpr auto until_ended = R"sql(
SET LOCAL lock_timeout = {wait};
SET LOCAL rowlock_wait.outcome = 'ended';
DO $rowlock$ BEGIN BEGIN
  PERFORM set_config('rowlock_wait.outcome',
                     CASE WHEN pg_try_advisory_lock{shared}({key}) THEN 'at once'
                          WHEN pg_advisory_lock{shared}({key}) IS NOT NULL THEN 'granted' END, true);
EXCEPTION WHEN lock_not_available OR query_canceled THEN
  PERFORM set_config('rowlock_wait.outcome', 'ended', true);
END;
EXCEPTION WHEN lock_not_available OR query_canceled THEN
END $rowlock$;
SHOW rowlock_wait.outcome)sql";

// queue, bell, shared or not, how long to wait for both and for the bell in milliseconds. See migrations/postgres.
constexpr statement in_line{"rowlock_wait_in_line", R"sql(
SELECT rowlock.wait_in_line($1, $2, $3::bigint <> 0, $4, $5))sql"};

// 0: for ever.
std::int64_t bound_of(const wait_bound& w) { return wait_time(w.until).value_or(0ms).count(); }

// Of an answer that says that it was granted.
bool at_once(const result& answer) { return answer.bytes(0, 0) == "at once"; }
bool ended(const result& answer) { return answer.bytes(0, 0) == "ended"; }

// A wait that was ended may have been granted at the same moment.
bool granted_after_all(session& s, std::int64_t key, bool shared, std::chrono::milliseconds operation_timeout) {
    try {
        return advisory_sql::holds(s,
                                   {.mode = shared ? lock_mode::shared : lock_mode::exclusive, .keys = {.name = key}},
                                   deadline::after(operation_timeout));
    } catch (...) {
        s.abandon();  // what it holds, nobody knows; closing it gives that back
        throw;
    }
}

}  // namespace

wait_result wait_for_key(session_source& sessions, session& s, std::int64_t key, bool shared, const wait_bound& w,
                         std::chrono::milliseconds operation_timeout) {
    const bool can_end = !w.until.is_never() || w.stop.stop_possible();
    const auto send = [&](deadline d) {
        if (can_end || shared)
            s.send_script(filled{until_ended}
                              .put("{shared}", std::string{shared ? "_shared" : ""})
                              .put("{wait}", std::to_string(bound_of(w)))
                              .put("{key}", key)
                              .text(),
                          d);
        else
            s.send(exclusive_for_ever, d, key);
    };
    const auto answer = wait_in_server(sessions, s, send, w, operation_timeout);
    if (!answer) return wait_result::ended;
    if (ended(*answer))
        return granted_after_all(s, key, shared, operation_timeout) ? wait_result::granted : wait_result::ended;
    return at_once(*answer) ? wait_result::at_once : wait_result::granted;
}

detail::queue_place wait_for_both(session_source& sessions, session& s, std::int64_t queue, std::int64_t bell,
                                  bool shared, const wait_bound& w, std::chrono::milliseconds patience,
                                  std::chrono::milliseconds operation_timeout) {
    const auto send = [&](deadline d) {
        s.send(in_line, d, queue, bell, std::int64_t{shared}, bound_of(w), std::int64_t{patience.count()});
    };
    const auto answer = wait_in_server(sessions, s, send, w, operation_timeout);
    if (!answer) return {};
    if (!ended(*answer)) return {.head = true, .bell = true, .at_once = at_once(*answer)};
    if (!granted_after_all(s, queue, false, operation_timeout)) return {};
    return {.head = true, .bell = granted_after_all(s, bell, shared, operation_timeout)};
}

}  // namespace rowlock::postgres
