#pragma once

#include <sys/types.h>

#include "../unique_fd.hpp"

namespace rowlock::cli {

/// The controlling terminal, if there is one: which process group it listens to.
///
/// SIGTTOU must be blocked while `hand_to` is called from the background.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class terminal {
public:
    terminal();

    explicit operator bool() const noexcept { return static_cast<bool>(fd_); }

    /// The group in the foreground; -1 without a terminal.
    [[nodiscard]] pid_t foreground() const noexcept;

    /// Puts `group` into the foreground. False: that was not possible.
    bool hand_to(pid_t group) const noexcept;

private:
    unique_fd fd_;
};

}  // namespace rowlock::cli
