#pragma once

#include <sys/types.h>

namespace rowlock::odbc {

/// What the kernel says of a thread of this process, from /proc.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class call_state {
public:
    explicit call_state(pid_t thread);
    ~call_state();
    call_state(const call_state&) = delete;
    call_state& operator=(const call_state&) = delete;

    /// Whether it sleeps now, waiting for something. True also where that cannot be seen.
    [[nodiscard]] bool asleep() const;

private:
    const int file_;
};

}  // namespace rowlock::odbc
