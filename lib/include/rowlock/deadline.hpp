#pragma once

#include <chrono>
#include <cmath>
#include <stop_token>
#include <type_traits>

namespace rowlock {

/// A point on `std::chrono::steady_clock` at which waiting ends, or never. Durations that would overflow the clock
/// (`duration::max()`, infinity) mean never; zero, negative and not-a-number durations mean now.
///
/// Thread-safety: a value type.
class deadline {
public:
    using clock = std::chrono::steady_clock;

    constexpr explicit deadline(clock::time_point at) noexcept : at_{at} {}

    static constexpr deadline never() noexcept { return deadline{clock::time_point::max()}; }
    static constexpr deadline passed() noexcept { return deadline{clock::time_point::min()}; }

    template <class Rep, class Period>
    static deadline after(std::chrono::duration<Rep, Period> d) {
        using seconds = std::chrono::duration<long double>;
        if (!(d > d.zero())) return passed();
        const auto now = clock::now();
        if (seconds{d} >= seconds{clock::time_point::max() - now}) return never();
        return deadline{now + std::chrono::ceil<clock::duration>(d)};
    }

    [[nodiscard]] constexpr bool is_never() const noexcept { return at_ == clock::time_point::max(); }
    [[nodiscard]] bool expired() const { return !is_never() && clock::now() >= at_; }
    [[nodiscard]] constexpr clock::time_point at() const noexcept { return at_; }

    /// Not negative.
    [[nodiscard]] clock::duration remaining() const {
        if (is_never()) return clock::duration::max();
        const auto now = clock::now();
        return at_ > now ? at_ - now : clock::duration::zero();
    }

    friend constexpr auto operator<=>(const deadline&, const deadline&) = default;

private:
    clock::time_point at_;
};

/// What ends a wait for a lock: its deadline, or the caller's stop token.
struct wait_bound {
    deadline until = deadline::passed();
    std::stop_token stop{};

    [[nodiscard]] bool over() const { return stop.stop_requested() || until.expired(); }
};

}  // namespace rowlock
