#pragma once

#include <condition_variable>
#include <mutex>

#include "slack.hpp"

namespace rowlock::test {

/// Holds threads up until it is opened, and tells how many have come. Gives up after `patience`, so that a failing
/// test ends.
class gate {
public:
    void open() {
        const std::lock_guard lock{mutex_};
        open_ = true;
        changed_.notify_all();
    }
    void close() {
        const std::lock_guard lock{mutex_};
        open_ = false;
    }
    /// False: it was not opened in time.
    bool pass() {
        std::unique_lock lock{mutex_};
        ++arrived_;
        changed_.notify_all();
        return changed_.wait_for(lock, patience, [&] { return open_; });
    }
    /// False: so many did not come in time.
    [[nodiscard]] bool reached_by(int n = 1) {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, patience, [&] { return arrived_ >= n; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
    int arrived_ = 0;
};

}  // namespace rowlock::test
