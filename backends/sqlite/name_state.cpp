#include "name_state.hpp"

#include <algorithm>
#include <utility>

#include <rowlock/error.hpp>

#include <admission.hpp>

namespace rowlock::sqlite {
namespace {

using namespace std::chrono_literals;

bool same(const claim& c, const lock_request& r) { return c.request.id == r.id && c.request.upgrade == r.upgrade; }

}  // namespace

name_state::name_state(lease_store& store, const arena& here, std::int64_t token_floor, const std::string& name,
                       std::vector<claim> claims)
    : store_{store}, here_{here}, token_floor_{token_floor}, name_{name}, now_{boot_clock::now()} {
    for (auto& c : claims) {  // holders first, so that an upgrade finds the lease that it is of
        auto& kin = is_dead(c) ? dead_ : c.waits ? queue_ : holders_;
        kin.push_back(std::move(c));
    }
}

// A process whose death cannot be seen from here holds until its lease ends, but cannot be woken either, so it has no
// place in the queue: it takes a new one when it looks again.
bool name_state::is_dead(const claim& c) const {
    if (!here_.may_live(c.process)) return true;
    if (!c.waits) return c.expires_at <= now_;
    if (!here_.sees(c.process)) return true;
    return c.request.upgrade && !is_held_by(c.request.id);  // its own lease ended: it waits for nothing
}

bool name_state::refuses(const lock_request& r) const { return dead_.empty() && !lease_of(r) && !admits(r); }

std::optional<grant> name_state::attempt(const lock_request& r) {
    if (auto got = lease_of(r)) return got;
    if (r.upgrade && !is_held_by(r.id))
        throw lock_lost{"the lock \"" + r.name + "\" was lost before it could be upgraded",
                        {.lock_name = r.name, .backend = "sqlite"}};
    settle();
    if (auto got = lease_of(r)) return got;
    if (place_of(r) != queue_.end()) return std::nullopt;
    if ((queue_.empty() || r.upgrade) && admits(r)) return give(r, here_.self());
    if (r.queued)
        store_.add_to_queue(
            name_, {.request = r, .process = here_.self(), .waits = true, .since = std::chrono::system_clock::now()});
    return std::nullopt;
}

std::optional<grant> name_state::leave(const lock_request& r) {
    if (auto got = lease_of(r)) return got;
    if (const auto mine = place_of(r); mine != queue_.end()) {
        store_.remove(name_, *mine);
        queue_.erase(mine);
        settle();  // whoever stood behind may be able to go
    }
    return std::nullopt;
}

void name_state::settle() {
    bury_the_dead();
    while (!queue_.empty() && admits(queue_.front().request)) {
        const auto next = std::move(queue_.front());
        queue_.erase(queue_.begin());
        store_.remove(name_, next);
        give(next.request, next.process);
        served_.push_back(next.request.id);
    }
}

void name_state::bury_the_dead() {
    for (const auto& c : dead_) store_.remove(name_, c);
    dead_.clear();
}

std::vector<claim> name_state::break_all(const std::string& reason, const std::string& by) {
    auto broken = std::exchange(holders_, {});
    for (const auto& c : broken) {
        store_.record_break(name_, c, reason, by);
        store_.remove(name_, c);
    }
    if (!broken.empty()) (void)store_.next_token(name_, token_floor_);
    // Those who waited to upgrade what is broken now wait for nothing.
    for (auto c = queue_.begin(); c != queue_.end();) {
        if (!is_dead(*c)) {
            ++c;
            continue;
        }
        dead_.push_back(std::move(*c));
        c = queue_.erase(c);
    }
    settle();
    return broken;
}

name_state::outlook name_state::look(const lock_request& r) const {
    if (auto got = lease_of(r)) return {.got = got};
    const auto mine = place_of(r);
    if (mine == queue_.end() || !dead_.empty()) return {.try_again = true};
    if (mine == queue_.begin() && admits(r)) return {.try_again = true};
    // Whoever will hold the name when it is our turn holds it now, or stands before us: nobody need tell us when we
    // get to the head. The nearest first, in case there are more than can be watched.
    outlook o{.look_again_at = now_ + r.ttl};
    for (auto before = mine; before != queue_.begin();) o.watch.push_back((--before)->process);
    for (const auto& c : holders_) {
        o.watch.push_back(c.process);
        o.look_again_at = std::min(o.look_again_at, c.expires_at + 1ms);
    }
    return o;
}

std::optional<grant> name_state::lease_of(const lock_request& r) const {
    for (const auto& c : holders_)
        if (c.request.id == r.id && c.request.mode == r.mode)
            return grant{.token = c.token(), .expires_at = c.expires_at};
    return std::nullopt;
}

bool name_state::is_held_by(const request_id& id) const {
    return std::any_of(holders_.begin(), holders_.end(), [&](const claim& c) { return c.request.id == id; });
}

bool name_state::admits(const lock_request& r) const {
    detail::holders count;
    for (const auto& c : holders_) count.add(c.request.mode);
    return count.admit(r);
}

std::vector<claim>::const_iterator name_state::place_of(const lock_request& r) const {
    return std::find_if(queue_.begin(), queue_.end(), [&](const claim& c) { return same(c, r); });
}

grant name_state::give(const lock_request& r, const process_mark& process) {
    if (r.upgrade) {  // the lease goes on under a new token
        store_.remove_lease(name_, r.id);
        std::erase_if(holders_, [&](const claim& c) { return c.request.id == r.id; });
    }
    const auto token = store_.next_token(name_, token_floor_);
    const auto& fresh = holders_.emplace_back(claim{.request = r,
                                                    .process = process,
                                                    .position = static_cast<std::int64_t>(token.value()),
                                                    .expires_at = now_ + r.ttl,
                                                    .since = std::chrono::system_clock::now()});
    store_.add(name_, fresh);
    return {.token = token, .expires_at = fresh.expires_at};
}

}  // namespace rowlock::sqlite
