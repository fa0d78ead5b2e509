#include "applock_backend.hpp"

#include <algorithm>
#include <iterator>

#include <rowlock/error.hpp>

#include <connection_pool.hpp>
#include <no_answer.hpp>
#include <wait_time.hpp>

#include "resource_name.hpp"

namespace rowlock::sqlserver {
namespace {

using namespace std::chrono_literals;

// Each one takes a round trip. Who waits asks for others by chance the next time.
constexpr std::size_t permits_at_once = 64;

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

// Undoes what was taken on the way to something that failed. If that cannot be done, the session goes, and all with it.
template <class Statement>
void undo(applock_session& s, Statement release) noexcept {
    try {
        release();
    } catch (const std::exception& e) {
        s.abandon(e.what());
    }
}

}  // namespace

applock_backend::applock_backend(const make_source& make)
    : source_{make(canceler_, [this](member& m, const std::string& why) { session_gone(m, why); })} {}

applock_backend::applock_backend(const std::string& connection_string, deadline d)
    : applock_backend{[&](odbc::canceler& canceler, source::gone_function gone) {
          auto open = [environment = std::make_shared<const odbc::environment>(name), &canceler, connection_string](
                          std::uint64_t id, deadline until) {
              return std::make_shared<member>(id, *environment, canceler, connection_string, name, until);
          };
          return std::make_unique<detail::connection_pool<applock_session>>(std::move(open), "SQL Server", name,
                                                                            std::move(gone));
      }} {
    (void)sessions_.any(d);
}

// Giving back is the handles' affair; those that are left have been told so. A connection pool of the driver manager
// would keep what is left in the sessions.
applock_backend::~applock_backend() {
    do_listen(nullptr);
    std::vector<request_id> left;
    for (const auto& [id, h] : holdings_) left.push_back(id);
    for (const auto& id : left) forget(id);
}

backend_traits applock_backend::do_traits() const {
    return {.name = name, .shared_mutex = true, .upgrade_mutex = true, .semaphore = true, .fair = true};
}

void applock_backend::do_listen(listener* l) {
    const std::lock_guard lock{listening_};
    listener_ = l;
}

// --- trying ---------------------------------------------------------------------------------------------------------

std::optional<grant> applock_backend::do_try_acquire(const lock_request& r, deadline d) {
    if (auto got = held_by(r)) return got;
    if (r.upgrade) return convert(r, 0ms, d, {});
    if (!room_.anybody(r.name))
        if (auto got = attempt(r, d)) return got;
    if (r.queued) room_.join(r);
    return std::nullopt;
}

std::optional<grant> applock_backend::held_by(const lock_request& r) const {
    const std::lock_guard lock{mutex_};
    const auto found = holdings_.find(r.id);
    if (found == holdings_.end() || (r.upgrade && !found->second.converted)) return std::nullopt;
    return grant{};
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
    return n == names_.end() || n->second.sharing.empty() ? nullptr : n->second.sharing.front().first;
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
        return record_upgrade(r, std::move(*here));
    }
    if (r.mode == lock_mode::shared)
        if (const auto at = sharing(r)) return share_again(r, at, d);
    const auto here = sessions_.any(d);
    if (!admits(r)) return std::nullopt;  // again: what was granted in this session since is in the table by now
    if (r.mode == lock_mode::permit) return attempt_permit(r, here, d);
    if (!here->try_get(resource_of(r.name), mode_of(r), d)) return std::nullopt;
    return record(r, here);
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
    try {
        const auto here = sessions_.that(at, d);
        const bool got = here->try_get(resource, applock_mode::shared, d);
        give_back();
        if (!got) return std::nullopt;
        return record(r, here);
    } catch (...) {
        give_back();
        throw;
    }
}

// Nobody overtakes the head of the queue, who holds its resource.
std::optional<grant> applock_backend::attempt_permit(const lock_request& r, const use& here, deadline d) {
    const auto queue = queue_of(r.name);
    if (!here->try_get(queue, applock_mode::shared, d)) return std::nullopt;
    undo(*here, [&] { here->release(queue, d); });
    return take_permit(r, here, d);
}

std::optional<grant> applock_backend::take_permit(const lock_request& r, const use& here, deadline d) {
    const auto resource = resource_of(r.name);
    if (!here->try_get(resource, applock_mode::intent_exclusive, d)) return std::nullopt;
    try {
        for (auto& permit : choose_permits(r))
            if (here->try_get(permit, applock_mode::exclusive, d)) return record(r, here, std::move(permit));
    } catch (...) {
        undo(*here, [&] { here->release(resource, d); });
        throw;
    }
    undo(*here, [&] { here->release(resource, d); });
    return std::nullopt;
}

// Starts at a permit by chance, so that those who come at the same time do not all try the same ones first.
std::vector<std::string> applock_backend::choose_permits(const lock_request& r) {
    std::uint32_t first = 0;
    std::vector<std::string> taken;
    {
        const std::lock_guard lock{mutex_};
        first = std::uniform_int_distribution<std::uint32_t>{0, r.permits - 1}(random_);
        if (const auto n = names_.find(r.name); n != names_.end()) taken = n->second.permits;
    }
    std::vector<std::string> chosen;
    for (std::uint32_t i = 0; i < r.permits && chosen.size() < permits_at_once; ++i) {
        auto permit =
            permit_of(r.name, static_cast<std::uint32_t>((std::uint64_t{first} + i) % std::uint64_t{r.permits}));
        if (std::find(taken.begin(), taken.end(), permit) == taken.end()) chosen.push_back(std::move(permit));
    }
    return chosen;
}

// --- waiting --------------------------------------------------------------------------------------------------------

std::optional<grant> applock_backend::do_await(const lock_request& r, const wait_bound& w,
                                               std::chrono::milliseconds operation_timeout) {
    if (r.upgrade) return convert(r, detail::wait_time(w.until), detail::later(w.until, operation_timeout), w.stop);
    if (!room_.await_turn(r.id, w)) return std::nullopt;
    try {
        auto here = sessions_.without_locks(deadline::after(operation_timeout));
        auto got = here ? wait_here(r, std::move(*here), w, operation_timeout)
                        : attempt(r, deadline::after(operation_timeout));
        if (got) room_.leave(r.id);
        if (got || w.over() || here) return got;
    } catch (...) {
        room_.leave(r.id);
        throw;
    }
    detail::pause(10ms, w);  // no connection is left to wait in
    return std::nullopt;
}

std::optional<grant> applock_backend::wait_here(const lock_request& r, use here, const wait_bound& w,
                                                std::chrono::milliseconds operation_timeout) {
    if (r.mode == lock_mode::permit) return wait_for_permit(r, here, w, operation_timeout);
    if (!here->get(resource_of(r.name), mode_of(r), detail::wait_time(w.until),
                   detail::later(w.until, operation_timeout), w.stop))
        return std::nullopt;
    return r.mode == lock_mode::upgrade ? record_upgrade(r, std::move(here)) : record(r, here);
}

// Waits for the head of the queue in the server. Only the head looks for a free permit, again and again, with
// pauses of 1 to 32 ms in between: the server cannot wait for one of several locks.
std::optional<grant> applock_backend::wait_for_permit(const lock_request& r, const use& here, const wait_bound& w,
                                                      std::chrono::milliseconds operation_timeout) {
    const auto operation = [&] { return deadline::after(operation_timeout); };
    const auto queue = queue_of(r.name);
    if (!here->get(queue, applock_mode::exclusive, detail::wait_time(w.until),
                   detail::later(w.until, operation_timeout), w.stop))
        return std::nullopt;
    std::optional<grant> got;
    try {
        for (auto slice = 1ms; !got; slice = std::min(2 * slice, 16ms)) {
            got = take_permit(r, here, operation());
            if (got || w.over()) break;
            detail::pause(slice, w);
        }
    } catch (...) {
        undo(*here, [&] { here->release(queue, operation()); });
        throw;
    }
    undo(*here, [&] { here->release(queue, operation()); });
    return got;
}

// From Update to Exclusive, in the session that has it. It goes before all who wait for the name: the server puts
// conversions first.
std::optional<grant> applock_backend::convert(const lock_request& r, std::optional<std::chrono::milliseconds> wait,
                                              deadline d, const std::stop_token& stop) {
    applock_session* s = nullptr;
    {
        const std::lock_guard lock{mutex_};
        const auto found = holdings_.find(r.id);
        if (found == holdings_.end() || !found->second.own)
            throw lock_lost{"the session that held it is gone", {.lock_name = r.name, .backend = std::string{name}}};
        s = &**found->second.own;  // nobody else has to do with this one
    }
    if (!s->get(resource_of(r.name), applock_mode::exclusive, wait, d, stop)) return std::nullopt;
    const std::lock_guard lock{mutex_};
    auto& h = holdings_.at(r.id);
    h.converted = true;
    auto& held = names_.find(r.name)->second.held;
    held.remove(lock_mode::upgrade);
    held.add(lock_mode::exclusive);
    h.request.mode = lock_mode::exclusive;
    return grant{};
}

std::optional<grant> applock_backend::do_abandon(const lock_request& r, deadline) {
    room_.leave(r.id);
    return held_by(r);
}

// --- the table ------------------------------------------------------------------------------------------------------

grant applock_backend::record(const lock_request& r, const use& u, std::string permit) {
    ++u.who()->locks;
    const std::lock_guard lock{mutex_};
    auto& n = names_[r.name];
    n.held.add(r.mode);
    if (r.mode == lock_mode::permit) n.permits.push_back(permit);
    if (r.mode == lock_mode::shared) {
        const auto here =
            std::find_if(n.sharing.begin(), n.sharing.end(), [&](const auto& s) { return s.first == u.who(); });
        if (here != n.sharing.end())
            ++here->second;
        else
            n.sharing.emplace_back(u.who(), 1);
    }
    holdings_.emplace(r.id, holding{r, u.who(), std::move(permit), std::nullopt});
    return {};
}

grant applock_backend::record_upgrade(const lock_request& r, use u) {
    ++u.who()->locks;
    const std::lock_guard lock{mutex_};
    names_[r.name].held.add(r.mode);
    auto at = u.who();
    holdings_.emplace(r.id, holding{r, std::move(at), {}, std::move(u)});
    return {};
}

void applock_backend::forget(const request_id& id) {
    decltype(holdings_)::node_type gone;  // ends behind the lock: it may put a session back, which may be lost
    const std::lock_guard lock{mutex_};
    gone = holdings_.extract(id);
    if (!gone) return;
    const auto& h = gone.mapped();
    --h.at->locks;
    forgotten_.notify_all();
    const auto n = names_.find(h.request.name);
    auto& state = n->second;
    state.held.remove(h.request.mode);
    if (h.request.mode == lock_mode::permit) std::erase(state.permits, h.permit);
    if (h.request.mode == lock_mode::shared) {
        const auto here =
            std::find_if(state.sharing.begin(), state.sharing.end(), [&](const auto& s) { return s.first == h.at; });
        if (--here->second == 0) state.sharing.erase(here);
    }
    if (state.held.none()) names_.erase(n);
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
    bool own = false, converted = false;
    {
        const std::lock_guard lock{mutex_};
        const auto found = holdings_.find(r.id);
        if (found == holdings_.end()) return;
        const auto& h = found->second;
        at = h.at;
        permit = h.permit;
        own = h.own.has_value();
        converted = h.converted;
    }
    const auto give_back = [&](applock_session& s) {
        const auto resource = resource_of(r.name);
        if (!permit.empty()) s.release(permit, d);
        if (converted) s.release(resource, d);
        s.release(resource, d);
    };
    if (own) {
        try {
            give_back(at->s);
        } catch (const detail::no_answer&) {
            forget(r.id);  // closes it
            throw;
        }
        forget(r.id);
        return;
    }
    const auto here = sessions_.that(at, d);
    give_back(*here);
    forget(r.id);
}

renewal applock_backend::do_verify(const lock_request& r, deadline d) {
    std::shared_ptr<member> at;
    bool own = false;
    {
        const std::lock_guard lock{mutex_};
        const auto found = holdings_.find(r.id);
        if (found == holdings_.end())
            return {.held = false, .reason = loss_reason::connection, .detail = "the session that held it is gone"};
        at = found->second.at;
        own = found->second.own.has_value();
    }
    try {
        const auto resource = resource_of(r.name);
        const bool held = !(own ? at->s.mode_of(resource, d) : sessions_.that(at, d)->mode_of(resource, d)).empty();
        if (held) return {.expires_at = boot_clock::time_point::max()};
    } catch (const detail::no_answer& e) {
        return {.held = false, .reason = loss_reason::connection, .detail = e.what()};
    }
    return {.held = false, .reason = loss_reason::server, .detail = "the session does not hold it any more"};
}

}  // namespace rowlock::sqlserver
