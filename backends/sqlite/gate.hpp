#pragma once

#include <condition_variable>
#include <mutex>

#include <rowlock/deadline.hpp>

namespace rowlock::sqlite {

/// Lets one at a time through, or gives up at a deadline. Like std::timed_mutex, but what is held may be let go by
/// another thread, as a fork needs it.
///
/// Shared objects: safe.
class gate {
public:
    /// False: `d` passed.
    [[nodiscard]] bool enter(deadline d) {
        std::unique_lock lock{mutex_};
        const auto free = [this] { return !taken_; };
        if (d.is_never())
            wake_.wait(lock, free);
        else if (!wake_.wait_until(lock, d.at(), free))
            return false;
        return taken_ = true;
    }

    void leave() {
        {
            const std::lock_guard lock{mutex_};
            taken_ = false;
        }
        wake_.notify_one();
    }

private:
    std::mutex mutex_;
    std::condition_variable wake_;
    bool taken_ = false;
};

}  // namespace rowlock::sqlite
