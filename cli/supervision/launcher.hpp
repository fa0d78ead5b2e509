#pragma once

#include <functional>
#include <optional>
#include <string>

#include <sys/types.h>

#include <rowlock/fencing_token.hpp>

#include "../unique_fd.hpp"
#include "run_request.hpp"
#include "signals.hpp"
#include "terminal.hpp"

namespace rowlock::cli {

/// The process that becomes the job. It is forked before the first thread is started, so that everything may be called
/// in it, and waits until it is told that the lock is held. It dies with the thread that made it.
///
/// Distinct objects: one for each process.
/// Shared objects: unsafe.
class launcher {
public:
    /// @param front_group while it is in the terminal's foreground, the job takes its place there
    /// @param in_child called in the new process first, to close what it must not keep open
    launcher(const run_request& request, const signal_setup& signals, const terminal& tty, pid_t front_group,
             const std::function<void()>& in_child);

    /// The job's process, which leads a group of that number.
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    /// Executes the command. False: the process is gone.
    bool start(std::optional<fencing_token> token) const noexcept;

    /// Once the process has ended: it could not execute the command, and has told why.
    [[nodiscard]] bool failed() const noexcept;

private:
    unique_fd to_child_;
    pid_t pid_ = -1;
};

}  // namespace rowlock::cli
