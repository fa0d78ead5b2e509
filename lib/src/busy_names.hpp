#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>
#include <unordered_map>

namespace rowlock::detail {

/// The names that were busy a moment ago. Who wants one of them, has time, and a connection to wait in, need not try
/// first: to wait is to ask. That saves a round trip where there is a wait, and costs none where there is not; only
/// then does the lock occupy a connection of its own, which is why older news does not count.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class busy_names {
public:
    [[nodiscard]] bool contains(const std::string& name) const {
        if (!any_) return false;
        const std::lock_guard lock{mutex_};
        const auto found = names_.find(name);
        return found != names_.end() && clock::now() < found->second + a_moment;
    }

    void note(const std::string& name, bool busy) {
        if (!busy && !any_) return;
        const std::lock_guard lock{mutex_};
        if (!busy) {
            names_.erase(name);
        } else {
            if (names_.size() == most) names_.clear();
            names_.insert_or_assign(name, clock::now());
        }
        any_ = !names_.empty();
    }

private:
    using clock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds a_moment{1};
    static constexpr std::size_t most = 1000;  // forgotten names are tried for, no more

    std::atomic<bool> any_{false};  // mostly there are none, and no mutex is needed to see that
    mutable std::mutex mutex_;
    std::unordered_map<std::string, clock::time_point> names_;
};

}  // namespace rowlock::detail
