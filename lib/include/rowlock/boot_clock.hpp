#pragma once

#include <chrono>
#include <cstdint>

namespace rowlock {

/// The clock by which leases are judged: CLOCK_BOOTTIME of the machine.
///
/// It does not jump when the wall clock is set, and it goes on counting while the machine is suspended, so a
/// lease that ran out during a suspend is seen to have run out. In a Linux time namespace the namespace's offset
/// is taken away again: every process of one machine reads the same time.
///
/// `clock_gettime(2)`, `time_namespaces(7)`.
///
/// Thread-safety: `now()` may be called from any thread.
struct boot_clock {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<boot_clock>;
    static constexpr bool is_steady = true;

    static time_point now() noexcept;

    /// The offset of this process's time namespace: raw CLOCK_BOOTTIME = now() + offset.
    static duration namespace_offset() noexcept;
};

}  // namespace rowlock
