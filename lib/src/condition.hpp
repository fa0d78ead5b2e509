#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>

#include <rowlock/deadline.hpp>

namespace rowlock::detail {

/// A condition variable for waits with a bound, which costs next to nothing to notify while nobody waits.
///
/// Distinct objects: safe.
/// Shared objects: safe, with one mutex for all that wait and for what they wait for.
class condition {
public:
    /// Until `holds`, or until `w` is over; then false.
    template <class Predicate>
    bool wait(std::unique_lock<std::mutex>& lock, const wait_bound& w, Predicate holds) {
        const presence here{waiting_};
        if (w.until.is_never()) return changed_.wait(lock, w.stop, holds);
        return changed_.wait_until(lock, w.stop, w.until.at(), holds);
    }

    /// Something changed, under the mutex, which need not be locked any more: who came before that is counted by now,
    /// who comes later sees it.
    void notify_all() noexcept {
        if (waiting_.load(std::memory_order_relaxed) > 0) changed_.notify_all();
    }

private:
    struct presence {
        explicit presence(std::atomic<int>& n) noexcept : count{n} { count.fetch_add(1, std::memory_order_relaxed); }
        ~presence() { count.fetch_sub(1, std::memory_order_relaxed); }
        presence(const presence&) = delete;
        presence& operator=(const presence&) = delete;
        std::atomic<int>& count;
    };

    std::condition_variable_any changed_;
    std::atomic<int> waiting_{0};
};

}  // namespace rowlock::detail
