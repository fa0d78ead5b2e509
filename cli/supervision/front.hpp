#pragma once

#include "run_request.hpp"

namespace rowlock::cli {

/// Runs a command under a lock and returns the exit status for it.
///
/// Three processes share the work, so that the death of any one of them leaves nothing behind:
///
///     front    the process that was started as `rowlock run`, and that the shell knows. It owns no lock. It passes
///       |      signals on, hands the terminal over and takes it back, and stops when the job is stopped.
///     keeper   holds and renews the lock (keeper.hpp). In a process group of its own: what is sent to the front's
///       |      whole group does not hit it, and it goes on renewing while the front is stopped by ^Z.
///     job      the command, in a process group of its own.
///
/// - The front dies (SIGKILL): the keeper reads the end of their channel, kills the job with all its descendants,
///   releases the lock only then, and ends.
/// - The keeper dies: the kernel kills the job itself (PR_SET_PDEATHSIG) and gives its descendants to the front
///   (PR_SET_CHILD_SUBREAPER), which kills them. The lock ends with the keeper, that is, a moment before them.
/// - Descendants of the job that made themselves daemons are children of the keeper again once their parents have
///   ended, so they are waited for before the lock is released, and found when everything has to end.
///
/// A job stopped by ^Z keeps its lock: the keeper goes on, nothing that the lock protects does, and `fg` finds
/// everything as it was. A front that is stopped alone (SIGSTOP) while its job runs on could not pass signals on; the
/// keeper bears that for one time to live, then it ends the job in good order and gives the lock up.
///
/// Must be called while the process has one thread.
[[nodiscard]] int run_in_front(const run_request& request);

}  // namespace rowlock::cli
