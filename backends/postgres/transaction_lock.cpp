#include "transaction_lock.hpp"

#include <optional>
#include <stop_token>
#include <string>

#include <rowlock/error.hpp>

#include <waiting_room.hpp>
#include "filled.hpp"
#include "lock_key.hpp"
#include "server_wait.hpp"
#include "session.hpp"

namespace rowlock::postgres {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view backend = "postgresql";
constexpr std::chrono::milliseconds operation_timeout = 5s;

// One simple query is one round trip, works through any pooler, and may have several statements. A savepoint around
// them all: an error costs no more than what is behind it. PostgreSQL releases the lock when it is rolled back to.
constexpr auto try_exclusive = R"sql(
SAVEPOINT rowlock_lock;
SELECT CASE WHEN pg_catalog.pg_try_advisory_xact_lock({name}) THEN 'granted' ELSE 'busy' END;
RELEASE SAVEPOINT rowlock_lock)sql";

// Two more things happen around a wait. The caller's timeouts are set aside: statement_timeout by a statement of its
// own, because it counts from the beginning of a statement, as it was set then. They are kept as PostgreSQL writes
// them, which it reads back as the same numbers. And a wait that comes to nothing is caught in a block of PL/pgSQL, so
// that it is no error in the server's log; what the block has locked and set goes with it. The outer block is for one
// that is ended twice, see key_wait.cpp.
//
// {wait} in milliseconds, 0 is for ever. {take}: one of the fragments below.
constexpr auto take_in_block = R"sql(
SAVEPOINT rowlock_lock;
SELECT pg_catalog.set_config('rowlock.outcome', '', true),
       pg_catalog.set_config('rowlock.statement_timeout', pg_catalog.current_setting('statement_timeout'), true),
       pg_catalog.set_config('statement_timeout', '0', true);
DO $rowlock$
DECLARE
  lock_timeout_before CONSTANT text := pg_catalog.current_setting('lock_timeout');
BEGIN BEGIN
  PERFORM pg_catalog.set_config('lock_timeout', '{wait}', true);
  {take}
  PERFORM pg_catalog.set_config('lock_timeout', lock_timeout_before, true);
  PERFORM pg_catalog.set_config('rowlock.outcome', 'granted', true);
EXCEPTION
  WHEN lock_not_available THEN PERFORM pg_catalog.set_config('rowlock.outcome', 'busy', true);
  WHEN query_canceled THEN PERFORM pg_catalog.set_config('rowlock.outcome', 'canceled', true);
  WHEN object_in_use THEN PERFORM pg_catalog.set_config('rowlock.outcome', 'mixed', true);
END; EXCEPTION
  WHEN lock_not_available THEN PERFORM pg_catalog.set_config('rowlock.outcome', 'busy', true);
  WHEN query_canceled THEN PERFORM pg_catalog.set_config('rowlock.outcome', 'canceled', true);
END $rowlock$;
SELECT pg_catalog.current_setting('rowlock.outcome'),
       pg_catalog.set_config('statement_timeout', pg_catalog.current_setting('rowlock.statement_timeout'), true);
RELEASE SAVEPOINT rowlock_lock)sql";

constexpr auto wait_exclusive = "PERFORM pg_catalog.pg_advisory_xact_lock({name});";

// As in advisory_sql.cpp: who shares says so on a key of its own, then looks whether permits are held. An exclusive
// lock for the length of an expression, of the session, as one of the transaction could not be given back.
constexpr auto share = R"sql(
  PERFORM pg_catalog.pg_advisory_xact_lock_shared({sharers});
  IF NOT (CASE WHEN pg_catalog.pg_try_advisory_lock({users}) THEN pg_catalog.pg_advisory_unlock({users})
               ELSE NOT EXISTS (
                SELECT FROM pg_catalog.pg_locks
                WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ShareLock' AND granted
                  AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
                  AND (classid::bigint << 32 | objid::bigint) = {users}) END) THEN
    RAISE object_in_use;
  END IF;)sql";
constexpr auto wait_shared = "PERFORM pg_catalog.pg_advisory_xact_lock_shared({name});";
constexpr auto try_shared = R"sql(
  IF NOT pg_catalog.pg_try_advisory_xact_lock_shared({name}) THEN RAISE lock_not_available; END IF;)sql";

constexpr auto give_up = "ROLLBACK TO SAVEPOINT rowlock_lock; RELEASE SAVEPOINT rowlock_lock";

constexpr auto server_process = "SELECT pg_catalog.pg_backend_pid()";

// A cancellation that comes late hits this.
constexpr auto absorb = "SAVEPOINT rowlock_lock; SELECT pg_catalog.pg_backend_pid(); RELEASE SAVEPOINT rowlock_lock";

std::string script_for(lock_mode mode, const lock_keys& keys, deadline until, bool waits) {
    if (mode == lock_mode::exclusive && !waits) return filled{try_exclusive}.put("{name}", keys.name).text();
    auto take = std::string{mode == lock_mode::exclusive ? wait_exclusive : waits ? wait_shared : try_shared};
    if (mode == lock_mode::shared) take += share;
    const auto wait = waits ? wait_time(until).value_or(0ms) : operation_timeout;
    return filled{take_in_block}
        .put("{take}", take)
        .put("{wait}", std::to_string(wait.count()))
        .put("{name}", keys.name)
        .put("{sharers}", keys.sharers)
        .put("{users}", keys.users)
        .text();
}

// One call, on the caller's connection.
class attempt {
public:
    attempt(PGconn* c, const wait_bound& w) : connection_{c}, visit_{c}, session_{c, backend}, bound_{w} {}

    // The word that the script ended with.
    std::string run(const std::string& script, bool waits) {
        // Asked before there is anything to end: afterwards the connection is busy.
        if (waits && bound_.stop.stop_possible() && pid_ == 0)
            pid_ = std::stoi(session_.run_script(server_process, operation()).text(0, 0));
        std::string word;
        try {
            word = send_and_wait(script);
        } catch (const no_answer&) {
            throw;
        } catch (const error& e) {
            (void)session_.run_script(give_up, operation());
            if (e.sqlstate() == sqlstate::lock_not_available)
                word = "busy";
            else if (e.sqlstate() == sqlstate::query_canceled)
                word = "canceled";
            else
                throw;
        }
        if (asked_to_end_) settle();
        return word;
    }

private:
    static deadline operation() { return deadline::after(operation_timeout); }

    std::string send_and_wait(const std::string& script) {
        session_.clear_wake();
        const std::stop_callback on_stop{bound_.stop, [this] { session_.wake(); }};
        session_.send_script(script, operation());
        const bool answered = session_.await_answer(later(bound_.until, operation_timeout));
        if (!answered && bound_.stop.stop_requested() && pid_ != 0) {
            asked_to_end_ = true;
            wait_ender{conninfo_of(connection_, options{}), backend}.end_wait(session_, pid_, operation());
        }
        return session_.collect(operation()).text(0, 0);
    }

    void settle() {
        try {
            (void)session_.run_script(absorb, operation());
        } catch (const no_answer&) {
            throw;
        } catch (const error&) {
            (void)session_.run_script(give_up, operation());
        }
    }

    PGconn* const connection_;
    const visit visit_;
    session session_;
    const wait_bound& bound_;
    int pid_ = 0;
    bool asked_to_end_ = false;
};

}  // namespace

bool lock_in_transaction(PGconn* c, std::string_view name, lock_mode mode, const wait_bound& w) {
    const auto cancel = [&](const std::string& why) {
        throw cancelled{"waiting for \"" + std::string{name} + "\" was cancelled" + why,
                        {.lock_name = std::string{name}, .backend = std::string{backend}}};
    };
    if (w.stop.stop_requested()) cancel("");
    const auto keys = mode == lock_mode::exclusive ? lock_keys{.name = key_of(name)} : keys_of(name);
    attempt one{c, w};
    // An exclusive lock that is free is cheaper to try for. Shared ones are tried for in a block all the same.
    for (bool waits = mode == lock_mode::shared && !w.until.expired();; waits = !w.until.expired()) {
        const auto word = one.run(script_for(mode, keys, w.until, waits), waits);
        if (word == "granted") return true;
        if (w.stop.stop_requested()) cancel("");
        if (word == "canceled") cancel(" by somebody else, or by a limit that the server sets");
        if (w.until.expired()) return false;
        // Held in a mode that cannot be waited for in the server.
        if (word == "mixed") detail::pause(10ms, w);
        if (w.stop.stop_requested()) cancel("");
    }
}

}  // namespace rowlock::postgres
