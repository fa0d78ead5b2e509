#include "futex.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Headers older than the kernel feature: linux/futex.h of 5.16.
#ifndef FUTEX_32
#define FUTEX_32 2
struct futex_waitv {
    __u64 val;
    __u64 uaddr;
    __u32 flags;
    __u32 __reserved;
};
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

namespace rowlock::sqlite {
namespace {

using namespace std::chrono_literals;

std::atomic<bool> waitv_refused{false};

timespec to_timespec(std::chrono::nanoseconds t) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(t);
    return {seconds.count(), (t - seconds).count()};
}

void wait_for_first(std::span<const futex_wait> waits, deadline until) {
    const bool alone = waits.size() == 1;
    const auto pause =
        to_timespec(alone ? until.remaining() : std::min<deadline::clock::duration>(until.remaining(), 20ms));
    syscall(SYS_futex, waits.front().word, FUTEX_WAIT, waits.front().expected,
            alone && until.is_never() ? nullptr : &pause, nullptr, 0);
}

}  // namespace

void futex_wait_any(std::span<const futex_wait> waits, deadline until) {
    if (waitv_refused.load(std::memory_order_relaxed)) return wait_for_first(waits, until);

    std::array<futex_waitv, max_futex_waits> list{};
    const auto count = std::min(waits.size(), list.size());
    for (std::size_t i = 0; i < count; ++i) {
        list[i].val = waits[i].expected;
        list[i].uaddr = reinterpret_cast<std::uintptr_t>(waits[i].word);
        list[i].flags = FUTEX_32;
    }
    // std::chrono::steady_clock is CLOCK_MONOTONIC here (libstdc++ and libc++ on Linux).
    const auto at = to_timespec(until.at().time_since_epoch());
    if (syscall(SYS_futex_waitv, list.data(), count, 0, until.is_never() ? nullptr : &at, CLOCK_MONOTONIC) < 0 &&
        (errno == ENOSYS || errno == EPERM)) {
        waitv_refused.store(true, std::memory_order_relaxed);
        wait_for_first(waits, until);
    }
}

void futex_wake_all(const futex_word& word) noexcept {
    syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace rowlock::sqlite
