#include "lease_backend.hpp"

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

#include <rowlock/error.hpp>

#include "advisory_sql.hpp"
#include "key_wait.hpp"

namespace rowlock::postgres {
namespace {

using namespace std::chrono_literals;

// What a session that waits for a lease got hold of beside it: given back when the wait ends. The bell of a lease that
// was granted stays; giving back the place makes the next one the head of the queue.
struct place_in_queue {
    place_in_queue(session& waiting, lease_keys k, std::chrono::milliseconds t) : s{waiting}, keys{k}, timeout{t} {}
    place_in_queue(const place_in_queue&) = delete;
    place_in_queue& operator=(const place_in_queue&) = delete;
    ~place_in_queue() {
        if (!s.usable()) return;
        try {
            const auto d = deadline::after(timeout);
            if (granted)
                lease_store::leave_queue(s, keys, d);
            else
                advisory_sql::unlock_all(s, d);
        } catch (const std::exception&) {
            s.abandon();  // closing it gives back all of it
        }
    }

    session& s;
    const lease_keys keys;
    const std::chrono::milliseconds timeout;
    bool granted = false;
};

lock_mode bell_mode_of(const lock_request& r) {
    return r.mode == lock_mode::exclusive && !r.upgrade ? lock_mode::exclusive : lock_mode::shared;
}

// How often to look again when the server cannot wake us: soon at first, 20 times a second in the long run.
std::chrono::milliseconds next_pause(std::chrono::milliseconds p) {
    return std::min<std::chrono::milliseconds>(2 * p, 32ms);
}

// For what may be asked twice: sessions may have died that nobody has heard of yet.
template <class Question>
auto ask_any(session_pool& sessions, deadline d, Question question) {
    for (int tries = 1;; ++tries) {
        try {
            return question(*sessions.any(d));
        } catch (const no_answer&) {
            if (tries == 5 || d.expired()) throw;
        }
    }
}

// After what can be done about it.
bool may_help_to_ask_again(session& s, const std::string& name, const lease_answer& answer, int tries, deadline d) {
    if (answer.dead_parts && tries == 0) {
        lease_store::reap(s, name, d);
        return true;
    }
    // Others who share the lock are writing the row at this moment; a commit or two, and it can be seen.
    if (!answer.contended || tries >= 20 || d.expired()) return false;
    std::this_thread::sleep_for(std::chrono::microseconds{200 * (tries + 1)});
    return true;
}

error_context about(const lock_request& r) {
    return {.lock_name = r.name, .backend = std::string{lease_backend::name}};
}

}  // namespace

lease_backend::lease_backend(const conninfo& to, bool transaction_pooled)
    : schema_{to.schema},
      pooled_{transaction_pooled},
      sessions_{to, name, transaction_pooled, [this](member& m, const std::string&) { session_gone(m); }},
      breaks_{to, name, [this] {
                  const std::lock_guard lock{listening_};
                  if (listener_) listener_->on_doubt();
              }} {}

lease_backend::~lease_backend() { do_listen(nullptr); }

backend_traits lease_backend::do_traits() const {
    return {.name = name,
            .shared_mutex = true,
            .upgrade_mutex = true,
            .semaphore = true,
            .leases = true,
            .fair = !pooled_,
            .tokens = true};
}

void lease_backend::do_listen(listener* l) {
    const std::lock_guard lock{listening_};
    listener_ = l;
}

// --- taking ---------------------------------------------------------------------------------------------------------

lease_backend::attempt_result lease_backend::attempt(const session_pool::use& here, const lock_request& r,
                                                     lease_store::manners m, deadline d) {
    const auto keys = lease_keys_of(schema_, r.name);
    m.bell = m.bell && !pooled_;
    const auto ask = [&] {
        try {
            return r.upgrade ? lease_store::upgrade(*here, r, d) : lease_store::take(*here, r, keys, m, d);
        } catch (const no_answer&) {
            in_doubt({&r, 1});
        }
    };
    for (int tries = 0;; ++tries) {
        const auto before = boot_clock::now();
        const auto answer = ask();
        if (answer.token) {
            if (!pooled_) breaks_.start();
            if (!r.upgrade) record(r, keys, answer.bell || m.has_bell ? here.who() : nullptr);
            return {.got = grant{.token = answer.token, .expires_at = before + r.ttl}};
        }
        if (answer.lost)
            throw lock_lost{
                "the lock \"" + r.name + "\" was lost before it could be upgraded: " + loss_of(*here, r, d).detail,
                about(r)};
        if (!may_help_to_ask_again(*here, r.name, answer, tries, d)) return {.expires_in = answer.expires_in};
    }
}

std::optional<grant> lease_backend::do_try_acquire(const lock_request& r, deadline d) {
    if (auto settled = settle(r, d)) return settled;
    if (r.upgrade) {
        if (auto got = attempt(sessions_.any(d), r, {}, d).got) return got;
    } else if (!room_.anybody(r.name)) {
        const auto here = sessions_.any(d);
        // Who asks again for what was busy looks first: that costs a fraction of a try, which can take the lease.
        if (!was_busy(r.name) || !lease_store::is_taken(*here, r.name, d)) {
            auto got = attempt(here, r, {}, d).got;
            note(r.name, !got);
            if (got) return got;
        }
    }
    if (r.queued && !r.upgrade) room_.join(r);
    return std::nullopt;
}

bool lease_backend::was_busy(const std::string& n) const {
    const std::lock_guard lock{mutex_};
    return !busy_.empty() && busy_.contains(n);
}

void lease_backend::note(const std::string& n, bool busy) {
    constexpr std::size_t most = 1000;  // forgotten names are tried for, no more
    const std::lock_guard lock{mutex_};
    if (!busy) {
        if (!busy_.empty()) busy_.erase(n);
    } else {
        if (busy_.size() == most) busy_.clear();
        busy_.insert(n);
    }
}

several_grants lease_backend::do_try_acquire_all(std::span<const lock_request> all, deadline d) {
    if (auto settled = settle(all, d)) return *settled;
    several_grants got;
    const auto waited_for =
        std::find_if(all.begin(), all.end(), [&](const lock_request& r) { return room_.anybody(r.name); });
    got.busy = static_cast<std::size_t>(waited_for - all.begin());
    if (waited_for != all.end()) return got;

    std::vector<lease_keys> keys;
    for (const auto& r : all) keys.push_back(lease_keys_of(schema_, r.name));
    const auto here = sessions_.any(d);
    for (std::size_t tries = 0;; ++tries) {
        const auto before = boot_clock::now();
        lease_store::several_answer answer;
        try {
            answer = lease_store::take_all(*here, all, keys, !pooled_, d);
        } catch (const no_answer&) {
            in_doubt(all);
        }
        if (answer.granted.size() == all.size()) {
            if (!pooled_) breaks_.start();
            for (const auto& l : answer.granted) {
                record(all[l.at], keys[l.at], l.bell ? here.who() : nullptr);
                got.all.push_back({.token = l.token, .expires_at = before + all[l.at].ttl});
            }
            return got;
        }
        try {
            for (const auto& l : answer.granted) lease_store::release(*here, all[l.at], keys[l.at], false, d);
        } catch (const error&) {
            in_doubt(all);
        }
        got.busy = answer.busy;
        if (!answer.dead_parts || tries == all.size()) return got;
        lease_store::reap(*here, all[got.busy].name, d);
    }
}

void lease_backend::in_doubt(std::span<const lock_request> asked) {
    {
        const std::lock_guard lock{mutex_};
        for (const auto& r : asked) in_doubt_.insert(r.id);
    }
    std::throw_with_nested(in_doubt_error{"the connection to PostgreSQL failed before it said whether the lock \"" +
                                              asked.front().name + "\" was granted",
                                          about(asked.front())});
}

// After an answer that was lost: the grant, if there was one.
std::optional<grant> lease_backend::settle(const lock_request& r, deadline d) {
    {
        const std::lock_guard lock{mutex_};
        if (in_doubt_.empty() || !in_doubt_.contains(r.id)) return std::nullopt;
    }
    const auto here = sessions_.any(d);
    const auto before = boot_clock::now();
    const auto found = lease_store::find(*here, r, d);
    {
        const std::lock_guard lock{mutex_};
        in_doubt_.erase(r.id);
    }
    if (!found || (r.upgrade && found->mode != lock_mode::exclusive)) return std::nullopt;
    if (!r.upgrade) record(r, lease_keys_of(schema_, r.name), nullptr);
    return grant{.token = found->token, .expires_at = before + found->left};
}

std::optional<several_grants> lease_backend::settle(std::span<const lock_request> all, deadline d) {
    {
        const std::lock_guard lock{mutex_};
        if (in_doubt_.empty() || !in_doubt_.contains(all.front().id)) return std::nullopt;
    }
    const auto here = sessions_.any(d);
    const auto before = boot_clock::now();
    auto found = lease_store::find_all(*here, all, d);
    if (found.size() < all.size())  // of what is left, none may stay
        for (const auto& l : found)
            lease_store::release(*here, all[l.at], lease_keys_of(schema_, all[l.at].name), false, d);
    {
        const std::lock_guard lock{mutex_};
        for (const auto& r : all) in_doubt_.erase(r.id);
    }
    if (found.size() < all.size()) return std::nullopt;
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
    several_grants got;
    for (const auto& l : found) {
        record(all[l.at], lease_keys_of(schema_, all[l.at].name), nullptr);
        got.all.push_back({.token = l.token, .expires_at = before + l.left});
    }
    return got;
}

// --- waiting --------------------------------------------------------------------------------------------------------

std::optional<grant> lease_backend::do_await(const lock_request& r, const wait_bound& w,
                                             std::chrono::milliseconds operation_timeout) {
    if (r.upgrade) return await_upgrade(r, w, operation_timeout);
    if (!room_.await_turn(r.id, w)) return std::nullopt;
    try {
        auto here = pooled_ ? std::nullopt : sessions_.without_locks(deadline::after(operation_timeout));
        if (here) {
            auto got = queue_in_server(*here, r, w, operation_timeout);
            if (got) room_.leave(r.id);
            return got;
        }
        for (auto p = 1ms; !w.over(); p = next_pause(p)) {
            detail::pause(p, w);
            if (w.stop.stop_requested()) break;
            const auto d = deadline::after(operation_timeout);
            auto got = attempt(sessions_.any(d), r, {}, d).got;
            if (got) room_.leave(r.id);
            if (got) return got;
        }
        return std::nullopt;
    } catch (...) {
        room_.leave(r.id);
        throw;
    }
}

std::optional<grant> lease_backend::queue_in_server(const session_pool::use& here, const lock_request& r,
                                                    const wait_bound& w, std::chrono::milliseconds timeout) {
    const auto keys = lease_keys_of(schema_, r.name);
    const auto operation = [&] { return deadline::after(timeout); };
    place_in_queue place{*here, keys, timeout};

    if (!wait_for_key(sessions_, *here, keys.queue, false, w, timeout)) return std::nullopt;
    // Permits, upgrade locks and those who share beside them come free one by one, which no bell tells.
    const bool bell_tells = r.mode == lock_mode::exclusive || r.mode == lock_mode::shared;
    bool bell = false;
    // Mostly the holder gives way soon, and it does not matter when its lease would run out.
    auto look_again = deadline::after(10ms);
    for (auto p = 1ms; !w.over();) {
        if (bell_tells && !bell) {
            bell = wait_for_key(sessions_, *here, keys.bell, r.mode == lock_mode::shared,
                                {std::min(w.until, look_again), w.stop}, timeout);
            if (!bell && w.over()) break;
        }
        const auto tried = attempt(here, r, {.head = true, .has_bell = bell}, operation());
        if (tried.got) {
            place.granted = true;
            return tried.got;
        }
        look_again = deadline::after(std::max<std::chrono::milliseconds>(tried.expires_in, 1ms) + 1ms);
        if (bell_tells && !bell) continue;
        // Whose lease it is has no bell: its session died, or it was taken through a pooler.
        detail::pause(p, w);
        p = next_pause(p);
    }
    return std::nullopt;
}

std::optional<grant> lease_backend::await_upgrade(const lock_request& r, const wait_bound& w,
                                                  std::chrono::milliseconds timeout) {
    deadline announced = deadline::passed();
    for (auto p = 1ms; !w.over(); p = next_pause(p)) {
        const auto d = deadline::after(timeout);
        {
            const auto here = sessions_.any(d);
            if (announced.expired()) {
                lease_store::announce_upgrade(*here, r, true, d);
                announced = deadline::after(r.ttl / 2);
            }
            if (auto got = attempt(here, r, {}, d).got) return got;
        }
        detail::pause(p, w);
    }
    return std::nullopt;
}

std::optional<grant> lease_backend::do_abandon(const lock_request& r, deadline d) {
    room_.leave(r.id);
    if (r.upgrade) lease_store::announce_upgrade(*sessions_.any(d), r, false, d);
    return std::nullopt;
}

// --- holding --------------------------------------------------------------------------------------------------------

void lease_backend::record(const lock_request& r, const lease_keys& k, std::shared_ptr<member> bell) {
    if (bell) ++bell->locks;
    const std::lock_guard lock{mutex_};
    holdings_.insert_or_assign(r.id, holding{r.mode, k, std::move(bell), bell_mode_of(r)});
}

std::optional<lease_backend::holding> lease_backend::take_holding(const request_id& id) {
    const std::lock_guard lock{mutex_};
    const auto found = holdings_.find(id);
    if (found == holdings_.end()) return std::nullopt;
    auto h = std::move(found->second);
    holdings_.erase(found);
    return h;
}

void lease_backend::session_gone(const member& m) {
    const std::lock_guard lock{mutex_};
    for (auto& [id, h] : holdings_)
        if (h.bell.get() == &m) h.bell = nullptr;
}

void lease_backend::do_release(const lock_request& r, deadline d) {
    const auto h = take_holding(r.id);
    const auto keys = h ? h->keys : lease_keys_of(schema_, r.name);
    if (h && h->bell) {
        try {
            const auto here = sessions_.that(h->bell, d);
            const bool same_mode = h->bell_mode == (r.mode == lock_mode::exclusive ? r.mode : lock_mode::shared);
            lease_store::release(*here, r, keys, same_mode, d);
            if (!same_mode) lease_store::release_bell(*here, h->bell_mode, keys, d);
            --h->bell->locks;
            return;
        } catch (const no_answer&) {  // the bell went with its session; the row is still to be written
        } catch (const error&) {      // whoever writes the row later knows nothing of the bell
            give_bell_back(*h, d);
            throw;
        }
    }
    ask_any(sessions_, d, [&](session& s) { lease_store::release(s, r, keys, false, d); });
}

void lease_backend::give_bell_back(const holding& h, deadline d) {
    if (!h.bell) return;
    try {
        const auto here = sessions_.that(h.bell, d);
        lease_store::release_bell(*here, h.bell_mode, h.keys, d);
        --h.bell->locks;
    } catch (const error&) {  // it goes with its session
    }
}

renewal lease_backend::loss_of(session& s, const lock_request& r, deadline d) {
    const auto number = static_cast<std::int64_t>(r.id.number);
    auto broken = lease_store::breaks(s, r.id.provider, {&number, 1}, d);
    if (!broken.empty())
        return {.held = false, .reason = loss_reason::broken, .detail = std::move(broken.begin()->second)};
    return {.held = false, .reason = loss_reason::expired, .detail = "the lease ended before it was renewed"};
}

std::vector<renewal> lease_backend::do_renew(std::span<const lock_request* const> held, deadline d) {
    const auto before = boot_clock::now();
    std::vector<renewal> answers;
    std::vector<request_id> lost;
    {
        const auto here = sessions_.any(d);
        const auto renewed = lease_store::renew(*here, held, d);
        std::vector<std::int64_t> numbers;
        for (const auto* r : held)
            if (!renewed.contains(r->id.number)) numbers.push_back(static_cast<std::int64_t>(r->id.number));
        auto broken = numbers.empty() ? std::unordered_map<std::uint64_t, std::string>{}
                                      : lease_store::breaks(*here, held.front()->id.provider, numbers, d);
        for (const auto* r : held) {
            if (renewed.contains(r->id.number)) {
                answers.push_back({.expires_at = before + r->ttl});
                continue;
            }
            lost.push_back(r->id);
            if (const auto why = broken.find(r->id.number); why != broken.end())
                answers.push_back({.held = false, .reason = loss_reason::broken, .detail = why->second});
            else
                answers.push_back(
                    {.held = false, .reason = loss_reason::expired, .detail = "the lease ended before it was renewed"});
        }
    }
    for (const auto& id : lost)  // somebody may be waiting for it
        if (const auto h = take_holding(id)) give_bell_back(*h, d);
    return answers;
}

renewal lease_backend::do_verify(const lock_request& r, deadline d) {
    return ask_any(sessions_, d, [&](session& s) { return lease_store::find(s, r, d) ? renewal{} : loss_of(s, r, d); });
}

// --- operating ------------------------------------------------------------------------------------------------------

std::vector<lock_status> lease_backend::do_inspect(std::string_view prefix, deadline d) {
    const auto here = sessions_.any(d);
    const auto rows = lease_store::rows(*here, prefix, d);
    std::map<std::string, lock_status> all;
    std::map<std::int64_t, std::string> queues;
    for (const auto& r : rows) {
        auto& status = all.try_emplace(r.name, lock_status{.name = r.name}).first->second;
        queues.emplace(lease_keys_of(schema_, r.name).queue, r.name);
        if (r.holder) status.holders.push_back(*r.holder);
        if (r.waiter) status.waiters.push_back(*r.waiter);
    }
    for (auto& k : lease_store::key_rows(*here, d))
        if (const auto n = queues.find(k.key); n != queues.end()) all.at(n->second).waiters.push_back(std::move(k.who));
    // Behind a pooler no session can queue: there one's own waiters are all that can be seen.
    for (auto& [n, who] : pooled_ ? room_.everybody() : room_.behind_the_first())
        if (const auto status = all.find(n); status != all.end()) status->second.waiters.push_back(std::move(who));
    std::vector<lock_status> sorted;
    for (auto& [n, status] : all)
        if (!status.holders.empty() || !status.waiters.empty()) sorted.push_back(std::move(status));
    return sorted;
}

bool lease_backend::do_break(std::string_view n, std::string_view reason, std::string_view by, deadline d) {
    return lease_store::break_all(*sessions_.any(d), n, reason, by, d) > 0;
}

std::size_t lease_backend::do_purge(std::chrono::milliseconds idle, deadline d) {
    return lease_store::purge(*sessions_.any(d), idle, d);
}

}  // namespace rowlock::postgres
