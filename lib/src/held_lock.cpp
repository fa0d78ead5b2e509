#include "held_lock.hpp"

#include <algorithm>
#include <utility>

namespace rowlock::detail {
namespace {

using namespace std::chrono_literals;

// The holder hears of the end of its lease this much earlier, so that the news can arrive before the next one does:
// it covers the scheduling of a thread, and the drift of two machines' clocks over one time to live.
boot_clock::duration margin(std::chrono::milliseconds ttl) {
    return std::clamp<boot_clock::duration>(ttl / 20, 2ms, 1s);
}

}  // namespace

void held_lock::granted(const grant& g, lock_mode mode, std::chrono::steady_clock::time_point at) {
    const std::lock_guard lock{mutex_};
    if (phase_ == phase::released) return;
    if (!lost_.stop_possible()) {
        lost_ = std::stop_source{};
        if (phase_ == phase::lost) lost_.request_stop();  // a loss that was faster; nobody can have asked for news yet
    }
    if (phase_ == phase::asked) {
        phase_ = phase::held;
        granted_at_ = at;
    }
    request_.mode = mode;
    if (g.token) token_ = g.token;
    if (phase_ == phase::held) set_end(g.expires_at);  // a loss that was faster than its grant stays one
}

void held_lock::extended(boot_clock::time_point expires_at) {
    const std::lock_guard lock{mutex_};
    if (phase_ == phase::held) set_end(expires_at);
}

void held_lock::set_end(std::optional<boot_clock::time_point> expires_at) {
    constexpr auto never = boot_clock::time_point::max();
    const auto end = expires_at.value_or(never);
    usable_until_.store(end == never ? never : end - margin(request_.ttl), std::memory_order_relaxed);
}

void held_lock::lose(loss_reason why, std::string detail, const event_sink& events) {
    std::stop_source lost{std::nostopstate};
    {
        const std::lock_guard lock{mutex_};
        if (phase_ != phase::asked && phase_ != phase::held) return;
        phase_ = phase::lost;
        reason_ = why;
        detail_ = std::move(detail);
        usable_until_.store(boot_clock::time_point::min(), std::memory_order_relaxed);
        lost = lost_;
    }
    lost.request_stop();  // outside the mutex: callbacks may use the handle
    auto e = event();
    e.reason = why;
    e.detail = detail_;  // does not change any more
    events.tell(&observer::lost, e);
}

void held_lock::lose_if_expired(boot_clock::time_point now, const event_sink& events) {
    if (now >= usable_until()) lose(loss_reason::expired, "the lease could not be renewed before its end", events);
}

held_lock::phase held_lock::release() {
    const std::lock_guard lock{mutex_};
    usable_until_.store(boot_clock::time_point::min(), std::memory_order_relaxed);
    return std::exchange(phase_, phase::released);
}

held_lock::phase held_lock::now() const {
    const std::lock_guard lock{mutex_};
    return phase_;
}

lock_request held_lock::request() const {
    const std::lock_guard lock{mutex_};
    return request_;
}

std::optional<fencing_token> held_lock::token() const {
    const std::lock_guard lock{mutex_};
    return token_;
}

std::optional<loss_reason> held_lock::reason() const {
    const std::lock_guard lock{mutex_};
    return reason_;
}

std::string held_lock::detail() const {
    const std::lock_guard lock{mutex_};
    return detail_;
}

boot_clock::time_point held_lock::usable_until() const noexcept {
    return usable_until_.load(std::memory_order_relaxed);
}

lock_event held_lock::event() const {
    const std::lock_guard lock{mutex_};
    lock_event e{.name = full_name(), .mode = request_.mode, .token = token_};
    if (granted_at_ != std::chrono::steady_clock::time_point{})
        e.duration = std::chrono::steady_clock::now() - granted_at_;
    return e;
}

}  // namespace rowlock::detail
