#include "applock_backend.hpp"

#include <algorithm>
#include <iterator>

#include <rowlock/error.hpp>

#include <no_answer.hpp>

#include "applock_status.hpp"
#include "applock_token.hpp"
#include "lease_store.hpp"
#include "opening.hpp"
#include "resource_name.hpp"
#include "session_wait.hpp"

namespace rowlock::sqlserver {
namespace {

using namespace std::chrono_literals;

std::string_view mode_of(const lock_request& r) {
    switch (r.mode) {
        case lock_mode::exclusive:
            return applock_mode::exclusive;
        case lock_mode::shared:
            return applock_mode::shared;
        case lock_mode::upgrade:
            return applock_mode::update;
        case lock_mode::permit:
            break;
    }
    return applock_mode::intent_exclusive;
}

opening how_to_open(const std::string& connection_string, const options& opt) {
    const auto get_ready = [t = opt.operation_timeout, fencing = opt.fencing](lease_session& s, deadline d) {
        s.driver_timeout(t);
        if (fencing) get_ready_for_tokens(s, d);
    };
    return {std::make_shared<client>(applock_backend::name), connection_string, applock_backend::name,
            opt.fencing ? opt.schema : "", get_ready};
}

}  // namespace

applock_backend::applock_backend(const std::string& connection_string, const options& opt)
    : operation_timeout_{opt.operation_timeout},
      fencing_{opt.fencing},
      sessions_{[how = how_to_open(connection_string, opt)](std::uint64_t id, const wait_bound& w) {
                    return open_session(id, how, w);
                },
                "SQL Server", name, [this](member& m, const std::string& why) { session_gone(m, why); }},
      pulse_{sessions_, operation_timeout_} {
    pulse_.get_ready();
    (void)sessions_.any(deadline::after(operation_timeout_));
}

// A connection pool of the driver manager would keep what is left in the sessions.
applock_backend::~applock_backend() {
    do_listen(nullptr);
    pulse_.stop();  // it uses the sessions, too
    std::vector<left_over> left;
    for (auto& [id, h] : holdings_) {
        const auto resource = resource_of(h.request.name);
        if (!h.permit.empty()) left.push_back({h.at, h.permit});
        if (h.converted) left.push_back({h.at, resource});
        left.push_back({h.at, resource});
    }
    holdings_.clear();
    names_.clear();
    close_all(sessions_, std::move(left), operation_timeout_);
}

backend_traits applock_backend::do_traits() const {
    return {
        .name = name, .shared_mutex = true, .upgrade_mutex = true, .semaphore = true, .fair = true, .tokens = fencing_};
}

void applock_backend::do_listen(listener* l) {
    const std::lock_guard lock{listening_};
    listener_ = l;
}

// --- trying ---------------------------------------------------------------------------------------------------------

std::optional<grant> applock_backend::do_try_acquire(const lock_request& r, deadline d) {
    if (auto got = held_by(r)) return got;
    if (r.upgrade) return try_convert(r, d);
    if (!room_.anybody(r.name))
        if (auto got = attempt(r, d)) return got;
    if (r.queued) room_.join(r);
    return std::nullopt;
}

std::optional<grant> applock_backend::held_by(const lock_request& r) const {
    const std::lock_guard lock{mutex_};
    const auto found = holdings_.find(r.id);
    if (found == holdings_.end() || (r.upgrade && !found->second.converted)) return std::nullopt;
    return grant{.token = found->second.token};
}

bool applock_backend::admits(const lock_request& r) const {
    const std::lock_guard lock{mutex_};
    const auto n = names_.find(r.name);
    return n == names_.end() || n->second.held.admit(r);
}

// A session that shares the name already.
std::shared_ptr<applock_backend::member> applock_backend::sharing(const lock_request& r) const {
    const std::lock_guard lock{mutex_};
    const auto n = names_.find(r.name);
    if (n == names_.end() || n->second.held.shared == 0) return nullptr;
    const auto& all = n->second.times;
    const auto found = std::find_if(all.begin(), all.end(), [](const auto& t) { return !t.first->reserved; });
    return found == all.end() ? nullptr : found->first;
}

// A session that was in use by others came free, but too late.
void applock_backend::check_time(const lock_request& r, deadline d) {
    if (!d.expired()) return;
    throw connection_error{"the connections to SQL Server were in use by other threads until the time was over",
                           {.lock_name = r.name, .backend = std::string{name}}};
}

// One question in a session that may hold other names.
std::optional<grant> applock_backend::attempt(const lock_request& r, deadline d) {
    if (!admits(r)) return std::nullopt;
    if (r.mode == lock_mode::upgrade) {
        auto here = sessions_.without_locks(d);
        if (!here)
            throw connection_error{
                "no connection to SQL Server is left for an upgrade lock, which needs one of its own",
                {.lock_name = r.name, .backend = std::string{name}}};
        if (!(*here)->try_get(resource_of(r.name), applock_mode::update, d)) return std::nullopt;
        return record(r, *here, d);
    }
    if (r.mode == lock_mode::shared)
        if (const auto at = sharing(r)) return share_again(r, at, d);
    const auto here = sessions_.any(d);
    check_time(r, d);
    if (!admits(r)) return std::nullopt;  // again: what was granted in this session since is in the table by now
    if (r.mode == lock_mode::permit) return attempt_permit(r, here, d);
    if (!here->try_get(resource_of(r.name), mode_of(r), d)) return std::nullopt;
    return record(r, here, d);
}

// To a session that shares the name the server grants it at once, past those who wait. So another session asks, and
// hands over: it costs no connection for each share.
std::optional<grant> applock_backend::share_again(const lock_request& r, const std::shared_ptr<member>& at,
                                                  deadline d) {
    const auto resource = resource_of(r.name);
    const auto first = sessions_.without_locks(d);
    if (first && !(*first)->try_get(resource, applock_mode::shared, d)) return std::nullopt;
    const auto give_back = [&] {
        if (first) undo(**first, [&] { (*first)->release(resource, d); });
    };
    std::optional<pool::use> here;
    bool got = false;
    try {
        here.emplace(sessions_.that(at, d));
        check_time(r, d);
        if (shares(r.name, here->who()))
            got = get_here(r, *here, resource, applock_mode::shared, d);
        else  // it has come to hold something else of this name since, beside which the server would grant it anything
            here.reset();
    } catch (...) {
        give_back();
        throw;
    }
    if (!here) return first ? record(r, *first, d) : attempt(r, d);
    give_back();
    return got ? std::optional{record(r, *here, d)} : std::nullopt;
}

// Only while the session is in one's hands does it stay so.
bool applock_backend::shares(std::string_view n, const std::shared_ptr<member>& at) {
    const std::lock_guard lock{mutex_};
    const auto found = names_.find(n);
    return found != names_.end() && found->second.held.shared > 0 && !at->reserved &&
           entry_of(found->second, at) != found->second.times.end();
}

// --- waiting --------------------------------------------------------------------------------------------------------

std::optional<grant> applock_backend::do_await(const lock_request& r, const wait_bound& w,
                                               std::chrono::milliseconds operation_timeout) {
    if (r.upgrade) return wait_converting(r, w, operation_timeout);
    if (!room_.await_turn(r.id, w)) return std::nullopt;
    try {
        auto here = sessions_.without_locks(w, operation_timeout);
        if (w.over()) return std::nullopt;  // connecting took all of it
        auto got = here ? wait_here(r, *here, w, operation_timeout) : attempt(r, deadline::after(operation_timeout));
        if (got) room_.leave(r.id);
        if (got || w.over() || here) return got;
    } catch (...) {
        room_.leave(r.id);
        throw;
    }
    detail::pause(10ms, w);  // no connection is left to wait in
    return std::nullopt;
}

std::optional<grant> applock_backend::wait_here(const lock_request& r, const pool::use& here, const wait_bound& w,
                                                std::chrono::milliseconds operation_timeout) {
    if (r.mode == lock_mode::permit) return wait_for_permit(r, here, w, operation_timeout);
    if (!wait_for_applock(sessions_, here.who(), resource_of(r.name), mode_of(r), w, operation_timeout))
        return std::nullopt;
    return record(r, here, deadline::after(operation_timeout));
}

// --- from Update to Exclusive, in the session that has it ------------------------------------------------------------

// It goes before all who wait for the name: the server puts conversions first.
std::optional<grant> applock_backend::try_convert(const lock_request& r, deadline d) {
    const auto here = sessions_.that(to_convert(r), d);
    if (!here->try_get(resource_of(r.name), applock_mode::exclusive, d)) return std::nullopt;
    return converted(r, here, d);
}

std::optional<grant> applock_backend::wait_converting(const lock_request& r, const wait_bound& w,
                                                      std::chrono::milliseconds operation_timeout) {
    const auto here = sessions_.that(to_convert(r), deadline::after(operation_timeout));
    if (!wait_for_applock(sessions_, here.who(), resource_of(r.name), applock_mode::exclusive, w, operation_timeout))
        return std::nullopt;
    return converted(r, here, deadline::after(operation_timeout));
}

std::shared_ptr<applock_backend::member> applock_backend::to_convert(const lock_request& r) const {
    const std::lock_guard lock{mutex_};
    const auto found = holdings_.find(r.id);
    if (found == holdings_.end())
        throw lock_lost{"the session that held it is gone", {.lock_name = r.name, .backend = std::string{name}}};
    return found->second.at;
}

grant applock_backend::converted(const lock_request& r, const pool::use& here, deadline d) {
    // Without a token it goes on as an upgrade lock, though to SQL Server it stays exclusive.
    const auto token = token_if(fencing_, *here, r.name, d, [&] { here->release(resource_of(r.name), d, false); });
    const std::lock_guard lock{mutex_};
    const auto found = holdings_.find(r.id);
    if (found == holdings_.end()) return {.token = token};  // it has been told that it is lost
    auto& h = found->second;
    h.converted = true;
    h.token = token;
    auto& held = names_.find(r.name)->second.held;
    held.remove(lock_mode::upgrade);
    held.add(lock_mode::exclusive);
    h.request.mode = lock_mode::exclusive;
    return {.token = token};
}

std::optional<grant> applock_backend::do_abandon(const lock_request& r, deadline) {
    room_.leave(r.id);
    return held_by(r);
}

// --- the table ------------------------------------------------------------------------------------------------------

grant applock_backend::record(const lock_request& r, const pool::use& u, deadline d, const std::string& permit) {
    const auto token = token_if(fencing_, *u, r.name, d, [&] {
        if (!permit.empty()) u->release(permit, d);
        u->release(resource_of(r.name), d, times_held(r.name, u.who()) == 0);
    });
    ++u.who()->locks;
    if (r.mode == lock_mode::upgrade) u.who()->reserved = true;
    pulse_.start();
    const std::lock_guard lock{mutex_};
    auto& n = names_[r.name];
    n.held.add(r.mode);
    if (r.mode == lock_mode::permit) n.permits.push_back(permit);
    if (const auto here = entry_of(n, u.who()); here != n.times.end())
        ++here->second;
    else
        n.times.emplace_back(u.who(), 1);
    holdings_.emplace(r.id, holding{r, u.who(), permit, token});
    return {.token = token};
}

std::size_t applock_backend::times_held(std::string_view n, const std::shared_ptr<member>& at) {
    const std::lock_guard lock{mutex_};
    const auto found = names_.find(n);
    if (found == names_.end()) return 0;
    const auto here = entry_of(found->second, at);
    return here == found->second.times.end() ? 0 : here->second;
}

// In a mode that the session may hold already.
bool applock_backend::get_here(const lock_request& r, const pool::use& here, const std::string& resource,
                               std::string_view mode, deadline d) {
    return times_held(r.name, here.who()) > 0 ? here->try_get_again(resource, mode, d)
                                              : here->try_get(resource, mode, d);
}

void applock_backend::forget(const request_id& id) {
    const std::lock_guard lock{mutex_};
    const auto found = holdings_.find(id);
    if (found == holdings_.end()) return;
    const auto& h = found->second;
    --h.at->locks;
    h.at->reserved = false;
    const auto n = names_.find(h.request.name);
    auto& state = n->second;
    state.held.remove(h.request.mode);
    if (h.request.mode == lock_mode::permit) std::erase(state.permits, h.permit);
    if (const auto here = entry_of(state, h.at); --here->second == 0) state.times.erase(here);
    if (state.held.none()) names_.erase(n);
    holdings_.erase(found);
}

void applock_backend::session_gone(member& m, const std::string& why) {
    std::vector<request_id> lost;
    {
        const std::lock_guard lock{mutex_};
        for (const auto& [id, h] : holdings_)
            if (h.at.get() == &m) lost.push_back(id);
    }
    for (const auto& id : lost) forget(id);
    const std::lock_guard lock{listening_};
    if (!listener_) return;
    for (const auto& id : lost) listener_->on_loss(id, loss_reason::connection, why);
}

// --- giving back ----------------------------------------------------------------------------------------------------

void applock_backend::do_release(const lock_request& r, deadline d) {
    std::shared_ptr<member> at;
    std::string permit;
    {
        const std::lock_guard lock{mutex_};
        const auto found = holdings_.find(r.id);
        if (found == holdings_.end()) return;
        at = found->second.at;
        permit = found->second.permit;
    }
    const auto resource = resource_of(r.name);
    const auto here = sessions_.that(at, d);
    // What is done is not asked for once more, if the rest fails and is tried again.
    if (!permit.empty()) {
        here->release(permit, d);
        const std::lock_guard lock{mutex_};
        if (const auto found = holdings_.find(r.id); found != holdings_.end())
            std::erase(names_.find(r.name)->second.permits, std::exchange(found->second.permit, {}));
    }
    if (is_converted(r.id)) {
        here->release(resource, d, false);
        const std::lock_guard lock{mutex_};
        if (const auto found = holdings_.find(r.id); found != holdings_.end()) found->second.converted = false;
    }
    here->release(resource, d, times_held(r.name, at) == 1);
    forget(r.id);
}

bool applock_backend::is_converted(const request_id& id) const {
    const std::lock_guard lock{mutex_};
    const auto found = holdings_.find(id);
    return found != holdings_.end() && found->second.converted;
}

renewal applock_backend::do_verify(const lock_request& r, deadline d) {
    std::shared_ptr<member> at;
    {
        const std::lock_guard lock{mutex_};
        const auto found = holdings_.find(r.id);
        if (found == holdings_.end())
            return {.held = false, .reason = loss_reason::connection, .detail = "the session that held it is gone"};
        at = found->second.at;
    }
    try {
        if (!sessions_.that(at, d)->mode_of(resource_of(r.name), d).empty())
            return {.expires_at = boot_clock::time_point::max()};
    } catch (const detail::no_answer& e) {
        return {.held = false, .reason = loss_reason::connection, .detail = e.what()};
    }
    return {.held = false, .reason = loss_reason::server, .detail = "the session does not hold it any more"};
}

// --- operating ------------------------------------------------------------------------------------------------------

std::vector<lock_status> applock_backend::do_inspect(std::string_view prefix, deadline d) {
    applock_status status{prefix};
    {
        const std::lock_guard lock{mutex_};
        for (const auto& [id, h] : holdings_)
            status.add_holder(h.request.name, {.mode = h.request.mode,
                                               .owner = h.request.owner,
                                               .token = h.token,
                                               .since = h.since,
                                               .expires_in = {}});
    }
    for (auto& [n, who] : room_.everybody()) status.add_waiter(n, std::move(who));
    const bool nobody_here = status.empty();
    if (!status.add_others(*sessions_.any(d), d) && nobody_here)
        throw unsupported{
            "this server does not tell who holds applocks: that takes sys.dm_tran_locks, and VIEW SERVER STATE to read "
            "it; each program sees its own",
            {.backend = std::string{name}}};
    return std::move(status).sorted();
}

bool applock_backend::do_break(std::string_view n, std::string_view, std::string_view, deadline) {
    throw unsupported{
        "SQL Server takes an applock from nobody: end its holder's program, or its session with KILL; "
        "request_session_id in sys.dm_tran_locks, where resource_type is 'APPLICATION', says which one",
        {.lock_name = std::string{n}, .backend = std::string{name}}};
}

std::size_t applock_backend::do_purge(std::chrono::milliseconds idle, deadline d) {
    if (!fencing_) refuse_to_purge();
    return lease_store::purge(*sessions_.any(d), idle, d);
}

}  // namespace rowlock::sqlserver
