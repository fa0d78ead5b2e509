#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace demo {

using nanoseconds = std::chrono::nanoseconds;

/// One stay inside the lock. Times are CLOCK_BOOTTIME, which all processes of a machine share. `entered` is read after
/// the lock was granted and `left` before it is given back, so two turns of a correct lock never overlap.
struct turn {
    int worker = 0;
    int pid = 0;
    std::optional<std::uint64_t> token{};
    nanoseconds waiting_since{};
    nanoseconds entered{};
    nanoseconds left{};  ///< of a worker that was killed inside: when that was
    bool killed = false;
};

/// What must have happened, so that a history in which too little happened does not pass.
struct expectation {
    std::vector<std::size_t> turns{};  ///< of worker 1, 2, ...
    int killed_worker = 0;             ///< in its last turn
    nanoseconds successor_within = std::chrono::milliseconds{50};
    nanoseconds time_to_live = std::chrono::seconds{30};
};

struct verdict {
    bool ok = false;
    std::string text{};
};

/// Judges a whole history, in any order of its turns.
/// @param counter the number that the workers left in a plain file, each adding one to it per turn: read on entering,
///                written back on leaving
[[nodiscard]] std::vector<verdict> judge(std::span<const turn> history, std::uint64_t counter, const expectation& e);

[[nodiscard]] bool all_ok(std::span<const verdict> verdicts);

/// "12.3 ms"
[[nodiscard]] std::string in_milliseconds(nanoseconds t);

}  // namespace demo
