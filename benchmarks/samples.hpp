#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <span>
#include <vector>

namespace bench {

using nanoseconds = std::chrono::nanoseconds;

/// CLOCK_MONOTONIC, which all processes of a machine share.
inline nanoseconds now() { return std::chrono::steady_clock::now().time_since_epoch(); }

/// The durations of one kind of work.
class samples {
public:
    void add(nanoseconds t) { all_.push_back(t); }
    void add(std::span<const nanoseconds> t) { all_.insert(all_.end(), t.begin(), t.end()); }
    void add(const samples& s) { add(std::span{s.all_}); }

    /// Runs and times `work` `times` times.
    template <class Work>
    void measure(std::size_t times, Work work) {
        for (std::size_t i = 0; i < times; ++i) {
            const auto started = now();
            work();
            add(now() - started);
        }
    }

    [[nodiscard]] std::size_t size() const { return all_.size(); }

    /// The least of which `percent` of all are not greater; nearest rank. In microseconds.
    [[nodiscard]] double percentile(double percent) const {
        if (all_.empty()) return 0;
        auto sorted = all_;
        std::sort(sorted.begin(), sorted.end());
        const auto rank = static_cast<std::size_t>(percent / 100 * static_cast<double>(sorted.size()));
        return std::chrono::duration<double, std::micro>{sorted[std::min(rank, sorted.size() - 1)]}.count();
    }
    [[nodiscard]] double median() const { return percentile(50); }

private:
    std::vector<nanoseconds> all_;
};

}  // namespace bench
