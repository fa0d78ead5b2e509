#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <contenders/client.hpp>

#include "page.hpp"

namespace bench {

/// What one client is told to do. Goes through a pipe as it is.
struct job {
    enum kind : std::uint8_t {
        cycles,   ///< take and give back, `times` times; the time of each
        contest,  ///< take, hold, give back, think, until the page says that it is over
        hold,     ///< take, and not give back
        leave     ///< end the process as it is, with a lock in its hands
    };
    kind what = cycles;
    std::int64_t times = 0;
    std::int64_t hold_ns = 0, think_ns = 0;
    std::int32_t cpu = -1;               ///< where the client runs; -1: where it is
    std::uint32_t client = 0, lock = 0;  ///< which of the clients, and at which lock of the page
    std::uint32_t rivals = 0;            ///< contest: how many are in it, if they want the same locks
};

/// How it went.
struct outcome {
    std::vector<std::int64_t>
        durations_ns{};  ///< cycles: of each; contest: from the wish to the grant, without the first
    std::vector<std::int64_t> granted_at_ns{};  ///< contest: when, of each
    std::vector<std::int64_t> hand_overs_ns{};  ///< from the beginning of a release to the next client's grant
    std::int64_t finished_ns = 0;               ///< when
    std::string failure{};
};

/// Does it, in the calling thread. Never throws: a failure is in the outcome, and ends the contest for all.
outcome execute(const job& j, client& c, page& p) noexcept;

/// Waits without giving up the CPU.
void spin(nanoseconds t);

}  // namespace bench
