#pragma once

#include <sys/types.h>

#include "message.hpp"
#include "run_request.hpp"
#include "signals.hpp"
#include "terminal.hpp"

namespace rowlock::cli {

/// The process that holds the lock: waits for it, starts the job, and releases the lock when the last process of the
/// job has ended; see front.hpp. Never returns.
/// @param front the process at the other end of `to_front`
[[noreturn]] void run_as_keeper(const run_request& request, const signal_setup& signals, const terminal& tty,
                                channel to_front, pid_t front) noexcept;

}  // namespace rowlock::cli
