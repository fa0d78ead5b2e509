#include "connection_backend.hpp"

#include <algorithm>
#include <stdexcept>
#include <stop_token>
#include <utility>

#include <rowlock/error.hpp>

#include <no_answer.hpp>
#include <wait_time.hpp>
#include <worker.hpp>

#include "applock_backend.hpp"
#include "applock_token.hpp"
#include "lease_store.hpp"
#include "permit_search.hpp"
#include "resource_name.hpp"
#include "sqlserver_schema.hpp"

namespace rowlock::sqlserver {
namespace {

using namespace std::chrono_literals;

constexpr auto name = applock_backend::name;

// So often who waits may be interrupted for somebody else who waits.
constexpr std::chrono::milliseconds longest_pause{500};
constexpr std::chrono::milliseconds wait_in_transaction{100};

std::string_view mode_of(const lock_request& r) {
    return r.mode == lock_mode::exclusive ? applock_mode::exclusive
           : r.mode == lock_mode::shared  ? applock_mode::shared
                                          : applock_mode::intent_exclusive;
}

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

connection_backend::connection_backend(SQLHDBC theirs, const options& opt)
    : fencing_{opt.fencing}, connection_{theirs, "SQL Server",
                                         name,   [this](auto&, const std::string& why) { session_gone(why); },
                                         theirs, canceler_,
                                         name,   opt.schema} {
    const auto d = deadline::after(opt.operation_timeout);
    const auto here = connection_.any(d);
    here->driver_timeout(opt.operation_timeout);
    if (!fencing_) return;
    asking([&] { lease_store::check_ready(*here, d); });
    schema{std::make_unique<sqlserver_target>(here->connection(), opt)}.check();
    get_ready_for_tokens(*here, d);
}

connection_backend::~connection_backend() {
    do_listen(nullptr);
    try {
        pay(deadline::after(1s));
    } catch (const std::exception&) {  // then they end with the connection
    }
}

// Who waits gives way to other work on the connection, and is then the last of those who wait.
backend_traits connection_backend::do_traits() const {
    return {.name = name, .shared_mutex = true, .semaphore = true, .tokens = fencing_};
}

void connection_backend::do_listen(listener* l) {
    const std::lock_guard lock{listening_};
    listener_ = l;
}

// --- trying ---------------------------------------------------------------------------------------------------------

std::optional<grant> connection_backend::do_try_acquire(const lock_request& r, deadline d) {
    if (auto held = held_by(r.id)) return held;
    auto got = asking([&]() -> std::optional<grant> {
        connection_.check_ready();
        pay(d);
        return room_.anybody(r.name) ? std::nullopt : attempt(r, d);
    });
    if (!got && r.queued) room_.join(r);
    return got;
}

// @param head of whom the session is the head of the queue for permits; else nobody overtakes the one who is
std::optional<grant> connection_backend::attempt(const lock_request& r, deadline d, const wait_bound* head) {
    if (!admits(r)) return std::nullopt;
    const auto here = connection_.any(d);
    if (d.expired())
        throw connection_error{"the connection to SQL Server was in use by other threads until the time was over",
                               {.lock_name = r.name, .backend = std::string{name}}};
    if (!admits(r)) return std::nullopt;  // again: what was granted in this session since is in the table by now
    if (r.mode == lock_mode::permit) {
        if (!head) {
            const auto queue = queue_of(r.name);
            if (!here->try_get(queue, applock_mode::shared, d)) return std::nullopt;
            undo(*here, [&] { here->release(queue, d); });
        }
        return take_permit(r, here, head ? *head : wait_bound{.until = deadline::never()}, d);
    }
    return take_name(r, here, d) ? std::optional{record(r, here, d)} : std::nullopt;
}

bool connection_backend::take_name(const lock_request& r, const use& here, deadline d) {
    const auto resource = resource_of(r.name);
    return times_held(r.name) > 0 ? here->try_get_again(resource, mode_of(r), d)
                                  : here->try_get(resource, mode_of(r), d);
}

std::optional<grant> connection_backend::take_permit(const lock_request& r, const use& here, const wait_bound& w,
                                                     deadline d) {
    if (!take_name(r, here, d)) return std::nullopt;
    const auto let_go = [&](deadline until) {
        undo(*here, [&] { here->release(resource_of(r.name), until, times_held(r.name) == 0); });
    };
    std::optional<std::string> permit;
    try {
        std::vector<std::string> own;
        const auto start = where_to_start(r, own);
        permit = take_free_permit(*here, r, start, own, w, d);
    } catch (...) {
        if (here->usable()) let_go(deadline::after(1s));
        throw;
    }
    if (permit) return record(r, here, d, *permit);
    let_go(d);
    return std::nullopt;
}

// At a permit by chance, so that those who come at the same time do not all try the same ones first.
std::uint32_t connection_backend::where_to_start(const lock_request& r, std::vector<std::string>& own) {
    const std::lock_guard lock{mutex_};
    for (const auto& [id, h] : holdings_)
        if (h.request.name == r.name) own.push_back(h.permit);
    return std::uniform_int_distribution<std::uint32_t>{0, r.permits - 1}(random_);
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
    return forgotten_.wait(lock, w, [&] {
        const auto n = names_.find(r.name);
        return n == names_.end() || n->second.admit(r);
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
                                               : wait_in_server(r, w, operation_timeout);
        });
        if (got) room_.leave(r.id);
        return got;
    } catch (...) {
        room_.leave(r.id);
        throw;
    }
}

std::optional<grant> connection_backend::do_abandon(const lock_request& r, deadline) {
    room_.leave(r.id);
    return held_by(r.id);
}

std::optional<grant> connection_backend::wait_in_server(const lock_request& r, const wait_bound& w,
                                                        std::chrono::milliseconds operation_timeout) {
    // What the session shares it gets once more at once.
    if (times_held(r.name) == 0) {
        if (const auto here = connection_.without_locks(w, operation_timeout)) {
            if (w.over()) return std::nullopt;
            // What was granted in this session since it would get once more, at once.
            if (times_held(r.name) > 0) return std::nullopt;
            if (!get(*here, resource_of(r.name), mode_of(r), w, operation_timeout)) return std::nullopt;
            return record(r, *here, deadline::after(operation_timeout));
        }
    }
    return ask_beside_others(r, w, operation_timeout);
}

// Others have the connection. Whoever waits in it is interrupted each time.
std::optional<grant> connection_backend::ask_beside_others(const lock_request& r, const wait_bound& w,
                                                           std::chrono::milliseconds operation_timeout) {
    for (auto p = 10ms; !w.over(); p = std::min(2 * p, longest_pause)) {
        if (auto got = attempt(r, deadline::after(operation_timeout))) return got;
        detail::pause(p, w);
        if (!connection_.somebody_waits()) break;
    }
    return std::nullopt;
}

// Ends early when somebody else wants the connection. A cancellation would roll the caller's transaction back where
// XACT_ABORT is ON; so in one, the wait is as short as others can be made to wait.
bool connection_backend::get(const use& here, std::string_view resource, std::string_view mode, const wait_bound& w,
                             std::chrono::milliseconds operation_timeout) {
    if (here->in_transaction(deadline::after(operation_timeout))) {
        const auto wait = std::min(detail::wait_time(w.until).value_or(wait_in_transaction), wait_in_transaction);
        return here->get(resource, mode, wait, deadline::after(wait + operation_timeout));
    }
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
        const auto here = connection_.without_locks(w, operation_timeout);
        if (!here) return ask_beside_others(r, w, operation_timeout);
        if (!get(*here, queue, applock_mode::exclusive, w, operation_timeout)) return std::nullopt;
    }
    const auto leave = [&] {
        try {
            connection_.any(operation())->release(queue, operation());
        } catch (const detail::no_answer&) {  // with the session it has left the queue
        } catch (const std::exception&) {
            const std::lock_guard lock{mutex_};
            owed_queues_.push_back(queue);
        }
    };
    std::optional<grant> got;
    try {
        for (auto p = 1ms; !got && !w.over(); p = std::min<std::chrono::milliseconds>(2 * p, 16ms)) {
            const auto before = deadline::clock::now();
            const bool interrupts = connection_.somebody_waits();
            got = attempt(r, operation(), &w);
            if (got) break;
            const auto usual = pause_between_searches(r, p, before);
            detail::pause(interrupts ? std::max(usual, longest_pause) : usual, w);
        }
    } catch (...) {
        leave();
        throw;
    }
    leave();
    return got;
}

// --- the table ------------------------------------------------------------------------------------------------------

std::optional<grant> connection_backend::held_by(const request_id& id) const {
    const std::lock_guard lock{mutex_};
    const auto found = holdings_.find(id);
    return found == holdings_.end() ? std::nullopt : std::optional{grant{.token = found->second.token}};
}

bool connection_backend::admits(const lock_request& r) const {
    const std::lock_guard lock{mutex_};
    const auto n = names_.find(r.name);
    return n == names_.end() || n->second.admit(r);
}

std::size_t connection_backend::times_held(std::string_view n) const {
    const std::lock_guard lock{mutex_};
    const auto found = names_.find(n);
    if (found == names_.end()) return 0;
    const auto& held = found->second;
    return std::size_t{held.exclusive} + held.shared + held.permit;
}

grant connection_backend::record(const lock_request& r, const use& here, deadline d, const std::string& permit) {
    const auto token = token_if(fencing_, *here, r.name, d, [&] {
        const auto soon = deadline::after(1s);  // the token may have taken all the time
        if (!permit.empty()) here->release(permit, soon);
        here->release(resource_of(r.name), soon, times_held(r.name) == 0);
    });
    const std::lock_guard lock{mutex_};
    names_[r.name].add(r.mode);
    holdings_.emplace(r.id, holding{r, permit, token});
    return {.token = token};
}

void connection_backend::forget(const request_id& id) {
    const std::lock_guard lock{mutex_};
    const auto found = holdings_.find(id);
    if (found == holdings_.end()) return;
    const auto n = names_.find(found->second.request.name);
    n->second.remove(found->second.request.mode);
    if (n->second.none()) names_.erase(n);
    holdings_.erase(found);
    owed_.erase(id);
    forgotten_.notify_all();
}

void connection_backend::session_gone(const std::string& why) {
    std::vector<request_id> lost;
    {
        const std::lock_guard lock{mutex_};
        for (const auto& [id, h] : holdings_) lost.push_back(id);
        owed_queues_.clear();
    }
    for (const auto& id : lost) forget(id);
    const std::lock_guard lock{listening_};
    if (!listener_) return;
    for (const auto& id : lost) listener_->on_loss(id, loss_reason::connection, why);
}

// --- giving back ----------------------------------------------------------------------------------------------------

void connection_backend::do_release(const lock_request& r, deadline d) {
    {
        // Asked again, in the background: the connection is the caller's now, and not to be touched by other threads.
        const std::lock_guard lock{mutex_};
        if (owed_.contains(r.id) || !holdings_.contains(r.id)) return;
        if (detail::worker::runs_this_thread()) return void(owed_.emplace(r.id, r));
    }
    try {
        give_back(r, d);
    } catch (const detail::no_answer&) {
        throw;  // the session is over
    } catch (const error&) {
        const std::lock_guard lock{mutex_};
        if (holdings_.contains(r.id)) owed_.emplace(r.id, r);
        throw;
    }
}

void connection_backend::give_back(const lock_request& r, deadline d) {
    const auto here = connection_.any(d);
    std::string permit;
    {
        const std::lock_guard lock{mutex_};
        const auto found = holdings_.find(r.id);
        if (found == holdings_.end()) return;
        permit = std::exchange(found->second.permit, {});
    }
    if (!permit.empty()) {
        try {
            here->release(permit, d);
        } catch (const error&) {
            const std::lock_guard lock{mutex_};
            if (const auto found = holdings_.find(r.id); found != holdings_.end()) found->second.permit = permit;
            throw;
        }
    }
    here->release(resource_of(r.name), d, times_held(r.name) == 1);
    forget(r.id);
}

void connection_backend::pay(deadline d) {
    const std::lock_guard one_at_a_time{paying_};
    for (;;) {
        std::optional<lock_request> next;
        std::string queue;
        {
            const std::lock_guard lock{mutex_};
            if (!owed_.empty())
                next = owed_.begin()->second;
            else if (!owed_queues_.empty())
                queue = owed_queues_.back();
            else
                return;
        }
        if (next) {
            give_back(*next, d);
            continue;
        }
        connection_.any(d)->release(queue, d);
        const std::lock_guard lock{mutex_};
        std::erase(owed_queues_, queue);
    }
}

renewal connection_backend::do_verify(const lock_request& r, deadline d) {
    if (!held_by(r.id))
        return {.held = false, .reason = loss_reason::connection, .detail = "the session that held it is gone"};
    try {
        if (!connection_.any(d)->mode_of(resource_of(r.name), d).empty())
            return {.expires_at = boot_clock::time_point::max()};
    } catch (const detail::no_answer& e) {
        return {.held = false, .reason = loss_reason::connection, .detail = e.what()};
    }
    return {.held = false, .reason = loss_reason::server, .detail = "the session does not hold it any more"};
}

std::size_t connection_backend::do_purge(std::chrono::milliseconds idle, deadline d) {
    if (!fencing_) refuse_to_purge();
    pay(d);
    return lease_store::purge(*connection_.any(d), idle, d);
}

}  // namespace rowlock::sqlserver
