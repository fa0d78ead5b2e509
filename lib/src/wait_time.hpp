#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

#include <rowlock/deadline.hpp>

namespace rowlock::detail {

/// `d` and `by` more; never stays never.
[[nodiscard]] inline deadline later(deadline d, std::chrono::milliseconds by) {
    return d.is_never() || d.at() > deadline::clock::time_point::max() - by ? deadline::never() : deadline{d.at() + by};
}

/// How long a statement may wait in the server: rounded up, so that nobody is told too early, and as long as fits into
/// an int of milliseconds, 24.8 days: who waits longer waits again. Empty: for ever.
[[nodiscard]] inline std::optional<std::chrono::milliseconds> wait_time(deadline until) {
    using namespace std::chrono_literals;
    constexpr std::chrono::milliseconds longest{2'147'483'647};
    if (until.is_never()) return std::nullopt;
    return std::clamp(std::chrono::ceil<std::chrono::milliseconds>(until.remaining()), 1ms, longest);
}

}  // namespace rowlock::detail
