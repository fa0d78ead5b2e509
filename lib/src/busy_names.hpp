#pragma once

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
        const std::lock_guard lock{mutex_};
        if (names_.empty()) return false;
        const auto found = names_.find(name);
        return found != names_.end() && clock::now() < found->second + a_moment;
    }

    void note(const std::string& name, bool busy) {
        const std::lock_guard lock{mutex_};
        if (!busy) {
            if (!names_.empty()) names_.erase(name);
            return;
        }
        if (names_.size() == most) names_.clear();
        names_.insert_or_assign(name, clock::now());
    }

private:
    using clock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds a_moment{1};
    static constexpr std::size_t most = 1000;  // forgotten names are tried for, no more

    mutable std::mutex mutex_;
    std::unordered_map<std::string, clock::time_point> names_;
};

}  // namespace rowlock::detail
