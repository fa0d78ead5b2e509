#pragma once

#include <chrono>
#include <cstddef>
#include <string>

#include <report/report.hpp>

namespace bench {

/// How long an idle server is watched beside held locks. Leases are renewed once a second, and so are seen three or
/// four times, or nine or ten: the numbers that two looks bring differ by one at most, whenever they begin.
[[nodiscard]] constexpr std::chrono::milliseconds idle_time(bool quick) {
    return std::chrono::milliseconds{quick ? 3500 : 9500};
}

/// `count` locks held by one provider, acquired many at a time.
[[nodiscard]] measurement held_locks(const std::string& url, std::size_t count, bool quick);

}  // namespace bench
