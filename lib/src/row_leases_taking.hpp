#pragma once

#include <rowlock/error.hpp>

#include "row_leases.hpp"

namespace rowlock::detail {

template <class Store>
auto row_leases<Store>::attempt(const use& here, const lock_request& r, lease_manners m, deadline d) -> attempt_result {
    const auto k = store_.keys_of(r.name);
    m.bell = m.bell && sessions_wait_;
    const auto ask = [&] {
        try {
            return r.upgrade ? store_.upgrade(*here, r, d) : store_.take(*here, r, k, m, d);
        } catch (const no_answer&) {
            in_doubt({&r, 1});
        }
    };
    bool reaped = false;
    // After what can be done about it.
    const auto may_help_to_ask_again = [&](const lease_answer& answer, int tries) {
        const bool dead = answer.dead_parts && !reaped;
        if (dead) reaped = store_.reap(*here, r.name, d);
        if (dead && reaped) return true;
        return (answer.contended || dead) && let_others_write(tries, d);
    };
    for (int tries = 0;; ++tries) {
        const auto before = boot_clock::now();
        const auto answer = ask();
        if (answer.token) {
            do_begin_to_hold(*here.who());
            if (!r.upgrade) record(r, k, answer.bell || m.has_bell ? here.who() : nullptr);
            return {.got = grant{.token = answer.token, .expires_at = before + r.ttl}, .left_queue = answer.left_queue};
        }
        if (answer.lost)
            throw lock_lost{
                "the lock \"" + r.name + "\" was lost before it could be upgraded: " + loss_of(*here, r, d).detail,
                about(r)};
        if (!may_help_to_ask_again(answer, tries)) return {.expires_in = answer.expires_in};
    }
}

template <class Store>
std::optional<grant> row_leases<Store>::do_try_acquire(const lock_request& r, deadline d) {
    if (auto found = settle(r, d)) return found;
    if (r.upgrade) {
        if (auto got = attempt(sessions_->any(d), r, {}, d).got) return got;
    } else if (Store::waits_at_once && sessions_wait_ && r.queued && r.mode == lock_mode::exclusive &&
               busy_.contains(r.name) && sessions_->has_spare()) {
        room_.join(r, false);  // to wait is to ask
    } else {
        const bool others_wait = room_.anybody(r.name);
        if (!others_wait)
            if (auto got = ask_now(r, d)) return got;
        if (r.queued) room_.join(r, !others_wait);
    }
    return std::nullopt;
}

template <class Store>
std::optional<grant> row_leases<Store>::ask_now(const lock_request& r, deadline d) {
    const auto here = sessions_->any(d);
    // Who asks again for what was busy looks first: that costs a fraction of a try, which can take the lease.
    if (busy_.contains(r.name) && store_.is_taken(*here, r.name, d)) return std::nullopt;
    auto got = attempt(here, r, {}, d).got;
    busy_.note(r.name, !got);
    return got;
}

// --- answers that were lost -----------------------------------------------------------------------------------------

template <class Store>
void row_leases<Store>::in_doubt(std::span<const lock_request> asked) {
    {
        const std::lock_guard lock{mutex_};
        for (const auto& r : asked) in_doubt_.insert(r.id);
    }
    std::throw_with_nested(in_doubt_error{"the connection to " + std::string{Store::server} +
                                              " failed before it said whether the lock \"" + asked.front().name +
                                              "\" was granted",
                                          about(asked.front())});
}

template <class Store>
bool row_leases<Store>::is_in_doubt(const lock_request& r) const {
    const std::lock_guard lock{mutex_};
    return !in_doubt_.empty() && in_doubt_.contains(r.id);
}

template <class Store>
void row_leases<Store>::settled(std::span<const lock_request> all) {
    const std::lock_guard lock{mutex_};
    for (const auto& r : all) in_doubt_.erase(r.id);
}

// The grant, if there was one.
template <class Store>
std::optional<grant> row_leases<Store>::settle(const lock_request& r, deadline d) {
    if (!is_in_doubt(r)) return std::nullopt;
    const auto here = sessions_->any(d);
    const auto before = boot_clock::now();
    const auto found = store_.find(*here, r, d);
    settled({&r, 1});
    if (!found || (r.upgrade && found->mode != lock_mode::exclusive)) return std::nullopt;
    if (!r.upgrade) record(r, store_.keys_of(r.name), nullptr);
    return grant{.token = found->token, .expires_at = before + found->left};
}

}  // namespace rowlock::detail
