#pragma once

#include <array>
#include <climits>
#include <cstdint>

namespace demo {

/// What a worker tells the parent process through a pipe that all workers share: short enough to be written in one
/// piece, pipe(7).
struct report {
    enum class kind : std::int32_t { ready, waits, inside, left, done, failed };

    std::int32_t worker = 0;
    kind what = kind::ready;
    std::int64_t when_ns = 0;      ///< CLOCK_BOOTTIME
    std::uint64_t token = 0;       ///< inside; 0: none
    std::array<char, 200> text{};  ///< failed
};
static_assert(sizeof(report) <= _POSIX_PIPE_BUF);

}  // namespace demo
