#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <mutex>
#include <stop_token>
#include <thread>

#include "quiet_thread.hpp"

namespace rowlock::detail {

/// What is done beside the caller, in a thread for each, and ends with its owner.
///
/// Distinct objects: safe.
/// Shared objects: safe; `stop()` once.
class side_jobs {
public:
    side_jobs() = default;
    ~side_jobs() { stop(); }
    side_jobs(const side_jobs&) = delete;
    side_jobs& operator=(const side_jobs&) = delete;

    /// `job` must not throw, and should end soon when it is told to stop.
    /// @throws std::system_error no thread can be had
    void start(std::function<void(std::stop_token)> job) {
        const std::lock_guard lock{mutex_};
        all_.remove_if([](one& j) {
            if (!j.over) return false;
            j.thread.join();
            return true;
        });
        auto& mine = all_.emplace_back();
        try {
            mine.thread = quiet_thread([&mine, stop = stop_.get_token(), work = std::move(job)] {
                work(stop);
                mine.over = true;
            });
        } catch (...) {
            all_.pop_back();
            throw;
        }
    }

    /// Tells all to stop, and waits for them.
    void stop() noexcept {
        stop_.request_stop();
        const std::lock_guard lock{mutex_};
        for (auto& j : all_) j.thread.join();
        all_.clear();
    }

private:
    struct one {
        std::thread thread{};
        std::atomic<bool> over{false};  // it touches nothing any more
    };

    std::stop_source stop_;
    std::mutex mutex_;
    std::list<one> all_;
};

}  // namespace rowlock::detail
