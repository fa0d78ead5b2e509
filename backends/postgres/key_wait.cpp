#include "key_wait.hpp"

#include <string>

#include "advisory_sql.hpp"
#include "filled.hpp"
#include "server_wait.hpp"

namespace rowlock::postgres {
namespace {

using namespace std::chrono_literals;

// Nobody ends it, so nothing has to be caught. {lock}: the function that locks.
constexpr auto for_ever = "SELECT 'granted' FROM (SELECT {lock}({key}) OFFSET 0) AS s";

// An error that a block of PL/pgSQL catches does not get into the server's log: a timeout is none of its business. What
// is set ends with the script. All there is to do is done before the wait, as the next holder's grant is waiting for
// what comes after it. {wait} in milliseconds, 0 is for ever.
//
// A wait can be ended twice, by its timeout and because the server is asked to: the second comes as soon as the first
// has been caught, and is caught by the outer block.
constexpr auto until_ended = R"sql(
SET LOCAL lock_timeout = {wait};
SET LOCAL rowlock_wait.outcome = 'granted';
DO $rowlock$ BEGIN
  BEGIN
    PERFORM {lock}({key});
  EXCEPTION WHEN lock_not_available OR query_canceled THEN
    PERFORM set_config('rowlock_wait.outcome', 'ended', true);
  END;
EXCEPTION WHEN lock_not_available OR query_canceled THEN
  PERFORM set_config('rowlock_wait.outcome', 'ended', true);
END $rowlock$;
SHOW rowlock_wait.outcome)sql";

}  // namespace

bool wait_for_key(session_source& sessions, session& s, std::int64_t key, bool shared, const wait_bound& w,
                  std::chrono::milliseconds operation_timeout) {
    const bool can_end = !w.until.is_never() || w.stop.stop_possible();
    const auto script = filled{can_end ? until_ended : for_ever}
                            .put("{lock}", std::string{shared ? "pg_advisory_lock_shared" : "pg_advisory_lock"})
                            .put("{wait}", std::to_string(wait_time(w.until).value_or(0ms).count()))
                            .put("{key}", key)
                            .text();
    const auto answer = wait_in_server(sessions, s, script, w, operation_timeout);
    if (!answer) return false;
    if (answer->bytes(0, 0) == "granted") return true;
    // A wait that was ended may have been granted at the same moment.
    return advisory_sql::holds(s, {.mode = shared ? lock_mode::shared : lock_mode::exclusive, .keys = {.name = key}},
                               deadline::after(operation_timeout));
}

}  // namespace rowlock::postgres
