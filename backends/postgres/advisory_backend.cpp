#include "advisory_backend.hpp"

#include <algorithm>
#include <stop_token>
#include <utility>

#include <rowlock/error.hpp>

#include "advisory_break.hpp"
#include "advisory_status.hpp"
#include "fenced_sql.hpp"
#include "key_wait.hpp"
#include "lease_store.hpp"
#include "pooler.hpp"
#include "server_wait.hpp"
#include "session_pool.hpp"

namespace rowlock::postgres {
namespace {

using namespace std::chrono_literals;

// A statement with the keys of more permits than that gets long; more are asked for in turns.
constexpr std::size_t permits_at_once = 256;

lock_keys needed_keys(const lock_request& r) {
    return r.mode == lock_mode::exclusive ? lock_keys{.name = key_of(r.name)} : keys_of(r.name);
}

}  // namespace

advisory_backend::advisory_backend(const make_source& make, bool fencing)
    : fencing_{fencing}, source_{make([this](member& m, const std::string& why) { session_gone(m, why); })} {}

advisory_backend::advisory_backend(const conninfo& to, bool fencing, deadline d)
    : advisory_backend{[&to](session_source::gone_function gone) {
                           return std::make_unique<session_pool>(to, name, false, std::move(gone));
                       },
                       fencing} {
    const auto first = sessions_.any(d);
    refuse_transaction_pooler(*first, to, name, d);
}

advisory_backend::~advisory_backend() { do_listen(nullptr); }

backend_traits advisory_backend::do_traits() const {
    return {.name = name, .shared_mutex = true, .semaphore = true, .fair = true, .tokens = fencing_};
}

void advisory_backend::do_listen(listener* l) {
    const std::lock_guard lock{listening_};
    listener_ = l;
}

std::optional<grant> advisory_backend::do_try_acquire(const lock_request& r, deadline d) {
    if (r.queued && r.mode == lock_mode::exclusive && busy_.contains(r.name) && sessions_.has_spare()) {
        auto got = look_up(r.id);
        if (!got) room_.join(r, false);  // to wait is to ask
        return got;
    }
    return ask_now(r, d);
}

std::optional<grant> advisory_backend::ask_now(const lock_request& r, deadline d) {
    const bool others_wait = room_.anybody(r.name);
    auto got = others_wait ? look_up(r.id) : attempt(r, d);
    if (r.mode == lock_mode::exclusive && !others_wait) busy_.note(r.name, !got);
    if (!got && r.queued) room_.join(r, !others_wait);
    return got;
}

std::optional<grant> advisory_backend::look_up(const request_id& id) const {
    const std::lock_guard lock{mutex_};
    return held_by(id);
}

// Under the lock.
std::optional<grant> advisory_backend::held_by(const request_id& id) const {
    const auto found = holdings_.find(id);
    return found == holdings_.end() ? std::nullopt : std::optional{grant{.token = found->second.token}};
}

bool advisory_backend::admits(const lock_request& r) const {
    const auto n = names_.find(r.name);
    return n == names_.end() || n->second.held.admit(r);
}

several_grants advisory_backend::do_try_acquire_all(std::span<const lock_request> all, deadline d) {
    const auto first_refused = [&] {
        const std::lock_guard lock{mutex_};
        const auto found = std::find_if(all.begin(), all.end(),
                                        [&](const lock_request& r) { return room_.anybody(r.name) || !admits(r); });
        return static_cast<std::size_t>(found - all.begin());
    };
    several_grants got{.busy = first_refused()};
    if (got.busy < all.size()) return got;
    std::vector<std::string_view> names;
    std::vector<std::int64_t> keys;
    for (const auto& r : all) {
        names.emplace_back(r.name);
        keys.push_back(key_of(r.name));
    }
    const auto here = sessions_.any(d);
    // Again: what was granted in this session since is in the table by now.
    got.busy = first_refused();
    if (got.busy < all.size()) return got;
    std::vector<fencing_token> tokens;
    if (fencing_) {
        auto fenced = fenced_sql::try_all(*here, names, keys, d);
        got.busy = fenced.busy;
        tokens = std::move(fenced.all);
    } else {
        got.busy = advisory_sql::try_all(*here, keys, d);
    }
    if (got.busy < all.size()) return got;
    for (std::size_t i = 0; i < all.size(); ++i)
        got.all.push_back(record(all[i], {.mode = lock_mode::exclusive, .keys = {.name = keys[i]}}, here,
                                 fencing_ ? std::optional{tokens[i]} : std::nullopt));
    return got;
}

// One question in a session that may hold other locks.
std::optional<grant> advisory_backend::attempt(const lock_request& r, deadline d, bool head) {
    {
        const std::lock_guard lock{mutex_};
        if (auto got = held_by(r.id)) return got;
        if (!admits(r)) return std::nullopt;
    }
    auto keys = needed_keys(r);
    if (head) keys.queue = keys.name;  // whoever waits for the queue would be taken for somebody to let go before
    auto here = sessions_.any(d);
    bool shares_already = false;
    std::vector<std::int64_t> taken;
    {
        // Again: what was granted in this session since is in the table by now.
        const std::lock_guard lock{mutex_};
        if (!admits(r)) return std::nullopt;
        if (const auto n = names_.find(r.name); n != names_.end()) {
            taken = n->second.permits;
            shares_already = std::any_of(n->second.sharing.begin(), n->second.sharing.end(),
                                         [&](const auto& s) { return s.first == here.who().get(); });
        }
    }
    const auto permits = r.mode == lock_mode::permit ? choose_permits(r, keys, std::move(taken), permits_at_once)
                                                     : std::vector<std::int64_t>{};
    if (fencing_) {
        const auto fenced = fenced_sql::try_lock(*here, r.name, r.mode, keys, permits, shares_already, d);
        if (!fenced) return std::nullopt;
        return record(r, fenced->lock, here, fenced->token);
    }
    const auto got = advisory_sql::try_lock(*here, r.mode, keys, permits, shares_already, d);
    if (!got) return std::nullopt;
    return record(r, *got, here, std::nullopt);
}

// Starts at a permit by chance, so that those who come at the same time do not all try the same ones first.
std::vector<std::int64_t> advisory_backend::choose_permits(const lock_request& r, const lock_keys& keys,
                                                           std::vector<std::int64_t> taken, std::size_t most) {
    std::uint32_t first = 0;
    {
        const std::lock_guard lock{mutex_};
        first = std::uniform_int_distribution<std::uint32_t>{0, r.permits - 1}(random_);
    }
    std::sort(taken.begin(), taken.end());
    std::vector<std::int64_t> chosen;
    for (std::uint32_t i = 0; i < r.permits && chosen.size() < most; ++i) {
        const auto number = (std::uint64_t{first} + i) % r.permits;
        const auto key = static_cast<std::int64_t>(static_cast<std::uint64_t>(keys.place) + number);
        if (!std::binary_search(taken.begin(), taken.end(), key)) chosen.push_back(key);
    }
    return chosen;
}

grant advisory_backend::record(const lock_request& r, const advisory_lock& l, const session_source::use& u,
                               std::optional<fencing_token> token) {
    ++u.who()->locks;
    const std::lock_guard lock{mutex_};
    const auto of = names_.try_emplace(r.name).first;
    holdings_.emplace(r.id, holding{of, r.owner, l, u.who(), token});
    auto& n = of->second;
    n.held.add(l.mode);
    if (l.mode == lock_mode::permit) n.permits.push_back(l.permit);
    if (l.mode != lock_mode::shared) return {.token = token};
    const auto here =
        std::find_if(n.sharing.begin(), n.sharing.end(), [&](const auto& s) { return s.first == u.who().get(); });
    if (here != n.sharing.end())
        ++here->second;
    else
        n.sharing.emplace_back(u.who().get(), 1);
    return {.token = token};
}

// Under the lock.
void advisory_backend::forget(const request_id& id) {
    const auto found = holdings_.find(id);
    if (found == holdings_.end()) return;
    const auto& h = found->second;
    --h.at->locks;
    auto& n = h.of->second;
    n.held.remove(h.lock.mode);
    if (h.lock.mode == lock_mode::permit) n.permits.erase(std::find(n.permits.begin(), n.permits.end(), h.lock.permit));
    if (h.lock.mode == lock_mode::shared) {
        const auto here =
            std::find_if(n.sharing.begin(), n.sharing.end(), [&](const auto& s) { return s.first == h.at.get(); });
        if (--here->second == 0) n.sharing.erase(here);
    }
    if (n.held.none()) names_.erase(h.of);
    holdings_.erase(found);
    forgotten_.notify_all();
}

std::optional<grant> advisory_backend::do_await(const lock_request& r, const wait_bound& w,
                                                std::chrono::milliseconds operation_timeout) {
    if (!room_.await_turn(r.id, w)) return std::nullopt;
    try {
        auto here = sessions_.without_locks(w, operation_timeout);
        if (!here && w.over()) return std::nullopt;
        room_.ask(r.id);
        auto got = here ? wait_here(r, *here, w, operation_timeout) : attempt(r, deadline::after(operation_timeout));
        if (got) room_.leave(r.id);
        if (got || w.over()) return got;
    } catch (...) {
        room_.leave(r.id);
        throw;
    }
    // No connection is left to wait in, or the name is held in a mode that cannot be waited for in the server.
    detail::pause(10ms, w);
    return std::nullopt;
}

std::optional<grant> advisory_backend::wait_here(const lock_request& r, const session_source::use& here,
                                                 const wait_bound& w, std::chrono::milliseconds operation_timeout) {
    const auto keys = needed_keys(r);
    std::optional<advisory_lock> got;
    bool busy = true;
    if (r.mode == lock_mode::exclusive) {
        const auto waited = wait_for_key(sessions_, *here, keys.name, false, w, operation_timeout);
        busy = waited != wait_result::at_once;
        if (waited != wait_result::ended) got = {.mode = r.mode, .keys = keys};
    } else {
        const auto permits =
            r.mode == lock_mode::permit ? choose_permits(r, keys, {}, permits_at_once) : std::vector<std::int64_t>{};
        auto until = w.until;
        if (r.permits > permits_at_once) until = std::min(until, deadline::after(1s));  // then others by chance
        const auto script = advisory_sql::wait_script(r.mode, keys, permits, wait_time(until));
        const auto send = [&](deadline d) { here->send_script(script, d); };
        if (const auto answer = wait_in_server(sessions_, *here, send, {until, w.stop}, operation_timeout))
            got = advisory_sql::outcome_of(*answer, r.mode, keys);
    }
    if (!got) {
        if (r.mode == lock_mode::exclusive) busy_.note(r.name, true);
        return std::nullopt;
    }
    const auto granted = record(
        r, *got, here, fencing_ ? std::optional{token_after_wait(r, *got, here, operation_timeout)} : std::nullopt);
    if (r.mode == lock_mode::exclusive) busy_.note(r.name, busy);
    return granted;
}

// A name is never put into a script, so the token of a lock that was waited for takes a statement of its own.
fencing_token advisory_backend::token_after_wait(const lock_request& r, const advisory_lock& l,
                                                 const session_source::use& here,
                                                 std::chrono::milliseconds operation_timeout) {
    try {
        return fenced_sql::raise(*here, r.name, deadline::after(operation_timeout));
    } catch (const no_answer&) {
        throw;  // the session is gone, and the lock with it
    } catch (const error&) {
        try {
            advisory_sql::unlock(*here, l, deadline::after(operation_timeout));
        } catch (const error&) {
            here->abandon();  // closing it gives the lock back
        }
        throw;
    }
}

std::optional<grant> advisory_backend::do_abandon(const lock_request& r, deadline d) {
    // Time was over before it could wait, and there was no try: but busy is only what is known to be.
    if (!room_.leave(r.id)) return attempt(r, d);
    return look_up(r.id);
}

void advisory_backend::do_release(const lock_request& r, deadline d) {
    std::shared_ptr<member> at;
    advisory_lock l;
    {
        const std::lock_guard lock{mutex_};
        const auto found = holdings_.find(r.id);
        if (found == holdings_.end()) return;
        at = found->second.at;
        l = found->second.lock;
    }
    const auto here = sessions_.that(at, d);
    advisory_sql::unlock(*here, l, d);
    const std::lock_guard lock{mutex_};
    forget(r.id);
}

renewal advisory_backend::do_verify(const lock_request& r, deadline d) {
    std::shared_ptr<member> at;
    advisory_lock l;
    {
        const std::lock_guard lock{mutex_};
        const auto found = holdings_.find(r.id);
        if (found == holdings_.end())
            return {.held = false, .reason = loss_reason::connection, .detail = "the session that held it is gone"};
        at = found->second.at;
        l = found->second.lock;
    }
    try {
        const auto here = sessions_.that(at, d);
        if (advisory_sql::holds(*here, l, d)) return {};
    } catch (const no_answer& e) {
        return {.held = false, .reason = loss_reason::connection, .detail = e.what()};
    }
    return {.held = false, .reason = loss_reason::server, .detail = "the session does not hold it any more"};
}

std::vector<lock_status> advisory_backend::do_inspect(std::string_view prefix, deadline d) {
    advisory_status status{prefix};
    {
        const std::lock_guard lock{mutex_};
        for (const auto& [id, h] : holdings_) {
            status.know(h.of->first);
            status.add_holder(
                h.at->s.pid, h.of->first,
                {.mode = h.lock.mode, .owner = h.owner, .token = h.token, .since = h.since, .expires_in = {}});
        }
    }
    for (auto& [n, who] : room_.everybody()) status.know(n);
    add_unseen_waiters(status);
    // The one name that may be meant even if nothing is known of it.
    if (!prefix.empty()) status.know(prefix);
    const auto here = sessions_.any(d);
    status.know_names_in_tables(*here, d);
    return std::move(status).read(*here, d);
}

bool advisory_backend::do_break(std::string_view n, std::string_view reason, std::string_view by, deadline d) {
    // Not in a session that holds locks: it might have to end itself.
    const auto here = sessions_.without_locks(d);
    if (!here)
        throw connection_error{
            "no connection to PostgreSQL is left to break a lock with; try again when fewer threads "
            "wait for locks",
            {.lock_name = std::string{n}, .backend = std::string{name}}};
    return advisory_break(**here, n, reason, by, d) > 0;
}

std::size_t advisory_backend::do_purge(std::chrono::milliseconds idle, deadline d) {
    if (!fencing_)
        throw unsupported{"advisory locks leave no idle names behind, unless they have fencing tokens",
                          {.backend = std::string{name}}};
    return lease_store::purge(*sessions_.any(d), idle, d);
}

// The first of each name waits in the server.
void advisory_backend::add_unseen_waiters(advisory_status& status) const {
    for (auto& [n, who] : room_.behind_the_first()) status.add_waiter(n, std::move(who));
}

void advisory_backend::session_gone(member& m, const std::string& why) {
    std::vector<request_id> lost;
    {
        const std::lock_guard lock{mutex_};
        for (const auto& [id, h] : holdings_)
            if (h.at.get() == &m) lost.push_back(id);
        for (const auto& id : lost) forget(id);
    }
    const std::lock_guard lock{listening_};
    if (!listener_) return;
    for (const auto& id : lost) listener_->on_loss(id, loss_reason::connection, why);
}

}  // namespace rowlock::postgres
