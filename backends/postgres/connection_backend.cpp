#include "connection_backend.hpp"

#include <stop_token>
#include <utility>

#include <rowlock/error.hpp>

#include <admission.hpp>

#include "advisory_break.hpp"
#include "filled.hpp"
#include "pooler.hpp"
#include "settings.hpp"

namespace rowlock::postgres {
namespace {

using namespace std::chrono_literals;

// One simple query without a transaction around it: what is set in it ends with it, whatever the session's own settings
// are. Timeouts of statements count from the beginning of a statement, so they go off before the one that waits; a
// client that was killed is noticed while it waits. See advisory_sql.cpp about the block. In the end the server itself
// is asked, as a wait that was ended may have been granted at the same moment.
//
// {wait} in milliseconds, 0 is for ever; {lock}: the function; {mode}: the lock's mode in pg_locks
constexpr auto wait_for_key = R"sql(
SELECT pg_catalog.set_config('rowlock.outcome', '', true), pg_catalog.set_config('statement_timeout', '0', true),
       pg_catalog.set_config('lock_timeout', '{wait}', true),
       CASE WHEN pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL
            THEN pg_catalog.set_config('transaction_timeout', '0', true) END,
       CASE WHEN pg_catalog.current_setting('client_connection_check_interval', true) IS NOT NULL
            THEN pg_catalog.set_config('client_connection_check_interval', '500', true) END;
DO $rowlock$ BEGIN BEGIN
  PERFORM pg_catalog.{lock}({key});
  PERFORM pg_catalog.set_config('rowlock.outcome', 'granted', true);
EXCEPTION WHEN lock_not_available OR query_canceled THEN PERFORM 1;
END; EXCEPTION WHEN lock_not_available OR query_canceled THEN NULL;
END $rowlock$;
SELECT CASE WHEN pg_catalog.current_setting('rowlock.outcome') = 'granted' THEN 1
            WHEN EXISTS (SELECT FROM pg_catalog.pg_locks
                         WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND mode = '{mode}'
                           AND pid = pg_catalog.pg_backend_pid()
                           AND (classid::bigint << 32 | objid::bigint) = {key}) THEN 1
            ELSE 0 END)sql";

constexpr statement unlock_name{"rowlock_unlock_name", "SELECT pg_catalog.pg_advisory_unlock_shared($1)"};

// A cancellation that comes late hits this.
constexpr auto absorb = "SELECT pg_catalog.pg_backend_pid()";

bool is_end_of_wait(const error& e) {
    return e.sqlstate() == sqlstate::lock_not_available || e.sqlstate() == sqlstate::query_canceled;
}

}  // namespace

connection_backend::connection_backend(pqxx_connection& c, const options& opt)
    : advisory_backend{[&](session_source::gone_function gone) {
                           return std::make_unique<borrowed_connection>(c, name, opt, std::move(gone));
                       },
                       opt.fencing},
      connection_{static_cast<borrowed_connection&>(sessions_)},
      ender_{connection_.to(), name} {
    const auto d = deadline::after(opt.operation_timeout);
    const auto here = sessions_.any(d);
    refuse_transaction_pooler(*here, connection_.to(), name, d);
}

connection_backend::~connection_backend() {
    try {
        pay(deadline::after(1s));
    } catch (const std::exception&) {  // then they end with the connection
    }
}

// Who waits gives way to other work on the connection, and is then the last of those who wait.
backend_traits connection_backend::do_traits() const {
    auto t = advisory_backend::do_traits();
    t.fair = false;
    return t;
}

std::optional<grant> connection_backend::do_try_acquire(const lock_request& r, deadline d) {
    connection_.check_ready();
    pay(d);
    return ask_now(r, d);  // to wait in the caller's connection costs more than to try
}

several_grants connection_backend::do_try_acquire_all(std::span<const lock_request> all, deadline d) {
    connection_.check_ready();
    pay(d);
    return advisory_backend::do_try_acquire_all(all, d);
}

// In another session: this one may be the one that has to end.
bool connection_backend::do_break(std::string_view n, std::string_view reason, std::string_view by, deadline d) {
    session other{connection_.to(), name, d};
    settle_in(other, false, d);
    return advisory_break(other, n, reason, by, d) > 0;
}

// --- waiting --------------------------------------------------------------------------------------------------------

// Nobody else could give back what this thread holds.
void connection_backend::refuse_self_deadlock(const lock_request& r, const wait_bound& w) const {
    if (!w.until.is_never() || w.stop.stop_possible()) return;
    detail::holders mine;
    {
        const std::lock_guard lock{mutex_};
        for (const auto& [id, h] : holdings_)
            if (h.of->first == r.name && h.by == std::this_thread::get_id()) mine.add(h.lock.mode);
    }
    if (mine.admit(r)) return;
    throw deadlock_detected{
        "this thread waits without limit for \"" + r.name + "\", which it holds itself through the same connection",
        {.lock_name = r.name, .backend = std::string{name}}};
}

// Until the session itself holds nothing that is in the way; false: `w` is over.
bool connection_backend::await_admission(const lock_request& r, const wait_bound& w) {
    std::unique_lock lock{mutex_};
    return forgotten_.wait(lock, w, [&] { return admits(r); });
}

bool connection_backend::shares(const lock_request& r) const {
    const std::lock_guard lock{mutex_};
    const auto n = names_.find(r.name);
    return n != names_.end() && !n->second.sharing.empty();
}

std::optional<grant> connection_backend::do_await(const lock_request& r, const wait_bound& w,
                                                  std::chrono::milliseconds operation_timeout) {
    try {
        refuse_self_deadlock(r, w);
        if (!room_.await_turn(r.id, w) || !await_admission(r, w)) return std::nullopt;
        pay(deadline::after(operation_timeout));
        auto got = r.mode == lock_mode::permit ? wait_for_permit(r, w, operation_timeout)
                   : shares(r)                 ? ask_again(r, w, operation_timeout)
                                               : wait_in_server(r, w, operation_timeout);
        if (got) room_.leave(r.id);
        return got;
    } catch (...) {
        room_.leave(r.id);
        throw;
    }
}

// For what the server cannot wait for.
std::optional<grant> connection_backend::ask_again(const lock_request& r, const wait_bound& w,
                                                   std::chrono::milliseconds operation_timeout) {
    auto got = attempt(r, deadline::after(operation_timeout));
    if (!got) detail::pause(10ms, w);
    return got;
}

std::optional<grant> connection_backend::wait_in_server(const lock_request& r, const wait_bound& w,
                                                        std::chrono::milliseconds operation_timeout) {
    const auto here = sessions_.without_locks(w, operation_timeout);
    if (!here) return w.over() ? std::nullopt : ask_again(r, w, operation_timeout);
    {
        // What was granted in this session since it would get once more, at once.
        const std::lock_guard lock{mutex_};
        if (names_.contains(r.name)) return std::nullopt;
    }
    const advisory_lock l{.mode = r.mode,
                          .keys = r.mode == lock_mode::exclusive ? lock_keys{.name = key_of(r.name)} : keys_of(r.name)};
    if (!wait_for_name(**here, l, w, operation_timeout)) return std::nullopt;
    if (r.mode == lock_mode::shared) {
        // The rest of sharing is a try, now that nobody is in its way. The name was then shared twice.
        const auto d = deadline::after(operation_timeout);
        bool got = false;
        try {
            got = advisory_sql::try_lock(**here, r.mode, l.keys, {}, false, d).has_value();
            (void)(*here)->run(unlock_name, d, l.keys.name);
        } catch (...) {
            (*here)->abandon();  // how often it shares the name now, nobody can tell
            throw;
        }
        if (!got) {  // held in a mode that cannot be waited for in the server
            detail::pause(10ms, {std::min(w.until, deadline::after(20ms)), w.stop});
            return std::nullopt;
        }
    }
    return record(r, l, *here,
                  fencing_ ? std::optional{token_after_wait(r, l, *here, operation_timeout)} : std::nullopt);
}

// Waits for the head of the queue in the server, and there asks for each of the permits, between which others may use
// the connection.
std::optional<grant> connection_backend::wait_for_permit(const lock_request& r, const wait_bound& w,
                                                         std::chrono::milliseconds operation_timeout) {
    const advisory_lock queue{.keys = {.name = keys_of(r.name).queue}};
    const auto operation = [&] { return deadline::after(operation_timeout); };
    {
        const auto here = sessions_.without_locks(w, operation_timeout);
        if (!here) return w.over() ? std::nullopt : ask_again(r, w, operation_timeout);
        if (!wait_for_name(**here, queue, w, operation_timeout)) return std::nullopt;
    }
    const auto leave = [&] {
        try {
            advisory_sql::unlock(*sessions_.any(operation()), queue, operation());
        } catch (const no_answer&) {  // with the session it has left the queue
        } catch (const std::exception&) {
            const std::lock_guard lock{mutex_};
            owed_keys_.push_back(queue);
        }
    };
    std::optional<grant> got;
    try {
        got = attempt(r, operation(), true);
        for (auto p = 1ms; !got && !w.over(); p = std::min<std::chrono::milliseconds>(2 * p, 16ms)) {
            detail::pause(p, w);
            got = attempt(r, operation(), true);
        }
    } catch (...) {
        leave();
        throw;
    }
    leave();
    return got;
}

bool connection_backend::wait_for_name(session& s, const advisory_lock& l, const wait_bound& w,
                                       std::chrono::milliseconds operation_timeout) {
    const auto operation = [&] { return deadline::after(operation_timeout); };
    const bool shared = l.mode == lock_mode::shared;
    const auto script = filled{wait_for_key}
                            .put("{lock}", std::string{shared ? "pg_advisory_lock_shared" : "pg_advisory_lock"})
                            .put("{mode}", std::string{shared ? "ShareLock" : "ExclusiveLock"})
                            .put("{wait}", std::to_string(wait_time(w.until).value_or(0ms).count()))
                            .put("{key}", l.keys.name)
                            .text();
    const std::stop_callback on_stop{w.stop, [&s] { s.wake(); }};
    s.send_script(script, operation());
    bool asked = false;
    while (!s.await_answer(later(w.until, operation_timeout))) {
        asked = w.stop.stop_requested() || connection_.wanted();
        if (asked) ender_.end_wait(s, s.pid, operation());
        if (asked || later(w.until, operation_timeout).expired()) break;
    }
    bool got = false;
    try {
        got = s.collect(operation()).bytes(0, 0) == "1";
    } catch (const no_answer&) {
        throw;
    } catch (const error& e) {
        if (!is_end_of_wait(e)) throw;
        got = advisory_sql::holds(s, l, operation());  // the end of the wait fell between two statements
    }
    if (!asked) return got;
    try {
        (void)s.run_script(absorb, operation());
    } catch (const error& e) {
        if (!is_end_of_wait(e)) throw;
    }
    return got;
}

// Who waits in the server gives way to the question, or is the head of the queue for permits.
void connection_backend::add_unseen_waiters(advisory_status& status) const {
    status.know_waiters_of(connection_.pid());
    for (auto& [n, who] : room_.everybody()) status.add_waiter(n, std::move(who));
}

// --- giving back ----------------------------------------------------------------------------------------------------

void connection_backend::do_release(const lock_request& r, deadline d) {
    {
        // Asked again, in the background: the connection is the caller's now, and not to be touched by other threads.
        const std::lock_guard lock{mutex_};
        if (owed_.contains(r.id)) return;
    }
    try {
        advisory_backend::do_release(r, d);
    } catch (const no_answer&) {
        throw;  // the session is over
    } catch (const error&) {
        const std::lock_guard lock{mutex_};
        if (holdings_.contains(r.id)) owed_.emplace(r.id, r);
        throw;
    }
}

void connection_backend::pay(deadline d) {
    const std::lock_guard one_at_a_time{paying_};
    for (;;) {
        std::optional<lock_request> next;
        std::optional<advisory_lock> key;
        {
            const std::lock_guard lock{mutex_};
            if (!owed_.empty())
                next = owed_.begin()->second;
            else if (!owed_keys_.empty())
                key = owed_keys_.back();
            else
                return;
        }
        if (next)
            advisory_backend::do_release(*next, d);
        else
            advisory_sql::unlock(*sessions_.any(d), *key, d);
        const std::lock_guard lock{mutex_};
        if (next)
            owed_.erase(next->id);
        else
            owed_keys_.pop_back();
    }
}

}  // namespace rowlock::postgres
