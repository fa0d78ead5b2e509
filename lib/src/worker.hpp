#pragma once

#include <algorithm>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include <rowlock/boot_clock.hpp>

#include "boot_timer.hpp"
#include "quiet_thread.hpp"

namespace rowlock::detail {

/// A thread that sleeps until a point of the boot clock, does its work, and is told by it when to come next. It is
/// started by the first request to come, takes no signals, and ends with `stop()`.
///
/// Distinct objects: safe.
/// Shared objects: safe; `stop()` once.
class worker {
public:
    /// `work` runs in the thread, returns when to run next (max(): when asked), and must not throw.
    explicit worker(std::function<boot_clock::time_point()> work) : work_{std::move(work)} {}
    ~worker() { stop(); }
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;

    /// Runs the work at `at` or earlier. Costs no system call unless it has to come earlier than planned.
    void run_by(boot_clock::time_point at) {
        const std::lock_guard lock{mutex_};
        if (at >= next_ || stopping_) return;
        if (!thread_.joinable()) start();  // before next_ is set: a start that failed is tried again
        next_ = at;
        timer_->wake();
    }
    void run_now() { run_by(boot_clock::time_point::min()); }
    /// Starts the thread, so that no request to come fails for want of one.
    /// @throws std::system_error
    void get_ready() {
        const std::lock_guard lock{mutex_};
        if (!thread_.joinable() && !stopping_) start();
    }

    /// Ends the thread and waits for it; not to be called by itself, see `runs_this_thread()`.
    void stop() {
        {
            const std::lock_guard lock{mutex_};
            stopping_ = true;
        }
        if (!thread_.joinable()) return;
        timer_->wake();
        thread_.join();
    }

    /// Whether the calling thread is one of any worker.
    [[nodiscard]] static bool runs_this_thread() noexcept { return in_worker; }

private:
    void start() {
        timer_.emplace();
        thread_ = quiet_thread([this] { run(); });
    }

    void run() {
        in_worker = true;
        for (;;) {
            std::unique_lock lock{mutex_};
            if (stopping_) return;
            if (const auto at = next_; boot_clock::now() < at) {
                lock.unlock();
                timer_->sleep_until(at);
                continue;
            }
            next_ = boot_clock::time_point::max();
            lock.unlock();
            const auto again = work_();
            lock.lock();
            next_ = std::min(next_, again);
        }
    }

    inline static thread_local bool in_worker = false;

    const std::function<boot_clock::time_point()> work_;
    std::optional<boot_timer> timer_;
    std::mutex mutex_;
    boot_clock::time_point next_ = boot_clock::time_point::max();
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace rowlock::detail
