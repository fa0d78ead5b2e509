#include "connection_backend.hpp"

#include <stdexcept>
#include <stop_token>
#include <thread>
#include <utility>

#include <rowlock/error.hpp>

#include <wait_time.hpp>

#include "resource_name.hpp"

namespace rowlock::sqlserver {
namespace {

using namespace std::chrono_literals;

// To ask for a lock on a connection that is not ready for it is the caller's mistake; to let go of one is not.
template <class Ask>
auto asking(Ask ask) {
    try {
        return ask();
    } catch (const odbc::connection_busy& e) {
        throw std::logic_error{e.what()};
    }
}

}  // namespace

connection_backend::connection_backend(SQLHDBC theirs)
    : applock_backend{[&](odbc::canceler& canceler, source::gone_function gone) {
          return std::make_unique<borrowed>(theirs, "SQL Server", name, std::move(gone), theirs, canceler, name);
      }},
      connection_{static_cast<borrowed&>(sessions_)} {}

connection_backend::~connection_backend() {
    try {
        pay(deadline::after(1s));
    } catch (const std::exception&) {  // then they end with the connection
    }
}

// Who waits gives way to other work on the connection, and is then the last of those who wait.
backend_traits connection_backend::do_traits() const {
    auto t = applock_backend::do_traits();
    t.upgrade_mutex = false;
    t.fair = false;
    return t;
}

std::optional<grant> connection_backend::do_try_acquire(const lock_request& r, deadline d) {
    return asking([&] {
        connection_.check_ready();
        pay(d);
        return applock_backend::do_try_acquire(r, d);
    });
}

// There is no other session that could ask first.
std::optional<grant> connection_backend::share_again(const lock_request& r, const std::shared_ptr<member>& at,
                                                     deadline d) {
    const auto here = sessions_.that(at, d);
    if (!here->try_get(resource_of(r.name), applock_mode::shared, d)) return std::nullopt;
    return record(r, here);
}

// --- waiting --------------------------------------------------------------------------------------------------------

// Nobody else could give back what this thread holds.
void connection_backend::refuse_self_deadlock(const lock_request& r, const wait_bound& w) const {
    if (!w.until.is_never() || w.stop.stop_possible()) return;
    detail::holders mine;
    {
        const std::lock_guard lock{mutex_};
        for (const auto& [id, h] : holdings_)
            if (h.request.name == r.name && h.by == std::this_thread::get_id()) mine.add(h.request.mode);
    }
    if (mine.admit(r)) return;
    throw deadlock_detected{
        "this thread waits without limit for \"" + r.name + "\", which it holds itself through the same connection",
        {.lock_name = r.name, .backend = std::string{name}}};
}

// Until the session itself holds nothing that is in the way; false: `w` is over.
bool connection_backend::await_admission(const lock_request& r, const wait_bound& w) {
    std::unique_lock lock{mutex_};
    return detail::wait(forgotten_, lock, w, [&] {
        const auto n = names_.find(r.name);
        return n == names_.end() || n->second.held.admit(r);
    });
}

std::optional<grant> connection_backend::do_await(const lock_request& r, const wait_bound& w,
                                                  std::chrono::milliseconds operation_timeout) {
    try {
        refuse_self_deadlock(r, w);
        if (!room_.await_turn(r.id, w) || !await_admission(r, w)) return std::nullopt;
        auto got = asking([&] {
            pay(deadline::after(operation_timeout));
            return r.mode == lock_mode::permit ? wait_for_permit(r, w, operation_timeout)
                   : sharing(r)                ? ask_again(r, w, operation_timeout)
                                               : wait_in_server(r, w, operation_timeout);
        });
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
    const auto here = sessions_.without_locks(deadline::after(operation_timeout));
    if (!here) return ask_again(r, w, operation_timeout);
    const auto mode = r.mode == lock_mode::exclusive ? applock_mode::exclusive : applock_mode::shared;
    if (!get(*here, resource_of(r.name), mode, w, operation_timeout)) return std::nullopt;
    return record(r, *here);
}

// Ends early when somebody else wants the connection.
bool connection_backend::get(const use& here, std::string_view resource, std::string_view mode, const wait_bound& w,
                             std::chrono::milliseconds operation_timeout) {
    std::stop_source end;
    const auto ends = [&end] { end.request_stop(); };
    const std::stop_callback on_stop{w.stop, ends}, on_wanted{connection_.wanted(), ends};
    return here->get(resource, mode, detail::wait_time(w.until), detail::later(w.until, operation_timeout),
                     end.get_token());
}

// Waits for the head of the queue in the server, and there asks for each of the permits, between which others may use
// the connection.
std::optional<grant> connection_backend::wait_for_permit(const lock_request& r, const wait_bound& w,
                                                         std::chrono::milliseconds operation_timeout) {
    const auto queue = queue_of(r.name);
    const auto operation = [&] { return deadline::after(operation_timeout); };
    {
        const auto here = sessions_.without_locks(operation());
        if (!here) return ask_again(r, w, operation_timeout);
        if (!get(*here, queue, applock_mode::exclusive, w, operation_timeout)) return std::nullopt;
    }
    const auto leave = [&] {
        try {
            sessions_.any(operation())->release(queue, operation());
        } catch (const detail::no_answer&) {  // with the session it has left the queue
        } catch (const std::exception&) {
            const std::lock_guard lock{mutex_};
            owed_queues_.push_back(queue);
        }
    };
    const auto ask = [&] {
        const auto here = sessions_.any(operation());
        return admits(r) ? take_permit(r, here, operation()) : std::nullopt;
    };
    std::optional<grant> got;
    try {
        got = ask();
        for (auto p = 1ms; !got && !w.over(); p = std::min<std::chrono::milliseconds>(2 * p, 16ms)) {
            detail::pause(p, w);
            got = ask();
        }
    } catch (...) {
        leave();
        throw;
    }
    leave();
    return got;
}

// --- giving back ----------------------------------------------------------------------------------------------------

void connection_backend::do_release(const lock_request& r, deadline d) {
    {
        // Asked again, in the background: the connection is the caller's now, and not to be touched by other threads.
        const std::lock_guard lock{mutex_};
        if (owed_.contains(r.id)) return;
    }
    try {
        applock_backend::do_release(r, d);
    } catch (const detail::no_answer&) {
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
        std::optional<std::string> queue;
        {
            const std::lock_guard lock{mutex_};
            if (!owed_.empty())
                next = owed_.begin()->second;
            else if (!owed_queues_.empty())
                queue = owed_queues_.back();
            else
                return;
        }
        if (next)
            applock_backend::do_release(*next, d);
        else
            sessions_.any(d)->release(*queue, d);
        const std::lock_guard lock{mutex_};
        if (next)
            owed_.erase(next->id);
        else
            owed_queues_.pop_back();
    }
}

}  // namespace rowlock::sqlserver
