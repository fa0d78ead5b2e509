#pragma once

#include <csignal>

#include <signal.h>

#include "../unique_fd.hpp"

namespace rowlock::cli {

/// The signals as rowlock found them, and what it makes of them.
///
/// Everything that could be sent to rowlock for the job's sake is blocked, before the first thread or process is
/// started, and read from a descriptor instead; the job gets back exactly what rowlock inherited. A signal that
/// rowlock inherited as ignored (`nohup`) stays ignored for both.
///
/// Distinct objects: one for each process.
/// Shared objects: unsafe.
class signal_setup {
public:
    /// Blocks, and makes sure that ended children can be waited for.
    signal_setup();

    /// Signals that are passed on to the job.
    [[nodiscard]] const sigset_t& forwarded() const noexcept { return forwarded_; }

    /// In the job's process before its exec: puts back what was inherited. What came in the meantime is delivered then.
    void restore() const noexcept;

private:
    sigset_t forwarded_;
    sigset_t inherited_mask_;
    struct sigaction inherited_child_;
};

/// A descriptor from which the signals of `set` are read; they must be blocked.
[[nodiscard]] unique_fd signal_descriptor(const sigset_t& set);

/// The next signal from such a descriptor; 0 if there is none now.
[[nodiscard]] int next_signal(const unique_fd& descriptor) noexcept;

/// Does what signal `number` does to a process that does not handle it, and comes back if that leaves the process
/// alive: it was stopped and has been continued, or the kernel dropped the signal.
void suffer(int number) noexcept;

}  // namespace rowlock::cli
