#pragma once

#include <rowlock/boot_clock.hpp>

namespace rowlock::detail {

/// Lets one thread sleep until a point of the boot clock, or until another thread wakes it. Unlike a condition
/// variable, whose clock stands still while the machine is suspended, it wakes as soon as the machine resumes.
/// timerfd_create(2), eventfd(2).
///
/// Distinct objects: safe.
/// Shared objects: one thread may sleep, any may wake it.
class boot_timer {
public:
    boot_timer();
    boot_timer(const boot_timer&) = delete;
    boot_timer& operator=(const boot_timer&) = delete;
    ~boot_timer();

    /// `time_point::max()`: until woken. A wake before the call is not lost.
    void sleep_until(boot_clock::time_point at);
    void wake() noexcept;

private:
    int timer_;
    int event_;
};

}  // namespace rowlock::detail
