#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <vector>

#include "samples.hpp"

namespace bench {

/// What one client does in turn: take the lock, give it back.
struct client {
    std::function<void()> take, give_back;
};

/// How clients fared that all wanted the same lock for a while.
struct contest {
    samples hand_over{};                ///< from the beginning of a release to the next client's grant
    std::vector<std::size_t> shares{};  ///< how often each client had it
    std::chrono::duration<double> time{};

    [[nodiscard]] double per_second() const;
    /// The smallest share by the largest.
    [[nodiscard]] double fairness() const;
    void add(const contest& more);
};

/// Runs every client in a thread of its own, all at once, for `time`. Who has the lock keeps it for `hold`, spinning.
/// One lock for all (then hand-overs are timed), or a lock of its own for each.
contest compete(std::vector<client>& clients, nanoseconds time, nanoseconds hold);

}  // namespace bench
