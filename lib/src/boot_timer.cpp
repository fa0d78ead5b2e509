#include "boot_timer.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

namespace rowlock::detail {

boot_timer::boot_timer()
    : timer_{timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK)},
      event_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {
    if (timer_ >= 0 && event_ >= 0) return;
    const std::error_code why{errno, std::generic_category()};
    close(timer_);
    close(event_);
    throw std::system_error{why, "cannot create a timer"};
}

boot_timer::~boot_timer() {
    close(timer_);
    close(event_);
}

void boot_timer::sleep_until(boot_clock::time_point at) {
    itimerspec when{};
    if (at != boot_clock::time_point::max()) {
        // Zero would disarm the timer; anything in the past fires at once.
        const auto raw = std::max(at.time_since_epoch() + boot_clock::namespace_offset(), std::chrono::nanoseconds{1});
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(raw);
        when.it_value = {seconds.count(), (raw - seconds).count()};
    }
    timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
    std::array<pollfd, 2> sources{{{timer_, POLLIN, 0}, {event_, POLLIN, 0}}};
    while (poll(sources.data(), sources.size(), -1) < 0 && errno == EINTR) {
    }
    eventfd_t woken = 0;
    eventfd_read(event_, &woken);
}

void boot_timer::wake() noexcept { eventfd_write(event_, 1); }

}  // namespace rowlock::detail
