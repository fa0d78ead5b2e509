#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include <rowlock/deadline.hpp>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace rowlock::postgres {

/// A file descriptor that is closed at its end.
class descriptor {
public:
    explicit descriptor(int fd) : fd_{fd} {
        if (fd_ < 0) throw std::system_error{errno, std::generic_category(), "out of file descriptors"};
    }
    ~descriptor() { close(fd_); }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;

    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    const int fd_;
};

/// Has epoll_wait(2) tell `id` when one of `events` happens to `fd`, which ends when that is closed.
inline void add_to(const descriptor& epoll, int fd, std::uint32_t events, std::uint64_t id) {
    epoll_event e{.events = events, .data = {.u64 = id}};
    if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &e) != 0)
        throw std::system_error{errno, std::generic_category(), "epoll_ctl"};
}

/// Ends somebody's poll() from another thread. eventfd(2).
///
/// Shared objects: safe.
class wake_up {
public:
    [[nodiscard]] int fd() const noexcept { return event_.get(); }
    void ring() const noexcept {
        const eventfd_t one = 1;
        (void)!write(event_.get(), &one, sizeof one);
    }
    void clear() const noexcept {
        eventfd_t ignored = 0;
        (void)!read(event_.get(), &ignored, sizeof ignored);
    }

private:
    descriptor event_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

/// Ends a poll() at its deadline. It is set to a deadline and rings then, though those that follow lie later: who hears
/// it too early sets it again. So a poll() mostly finds it set, and sets no timer of its own, which would cost more
/// than the rest of it. timerfd_create(2).
///
/// Shared objects: unsafe.
class alarm {
public:
    [[nodiscard]] int fd() const noexcept { return timer_.get(); }
    /// Rings at `d` or earlier.
    void ring_by(deadline d) noexcept {
        if (d >= next_) return;
        // Zero would disarm it; anything in the past rings at once.
        const auto at = std::max(d.at().time_since_epoch(), deadline::clock::duration{1});
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(at);
        const itimerspec when{.it_interval = {},
                              .it_value = {seconds.count(), std::chrono::nanoseconds{at - seconds}.count()}};
        timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
        next_ = d;
    }
    /// It rang.
    void clear() noexcept {
        std::uint64_t ignored = 0;
        (void)!read(timer_.get(), &ignored, sizeof ignored);
        next_ = deadline::never();
    }

private:
    descriptor timer_{timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
    deadline next_ = deadline::never();
};

}  // namespace rowlock::postgres
