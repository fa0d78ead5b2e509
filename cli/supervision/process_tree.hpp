#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <sys/types.h>

namespace rowlock::cli {

/// One process as /proc shows it.
struct process {
    pid_t pid = 0;
    pid_t parent = 0;
    pid_t group = 0;
    char state = '?';           ///< proc(5): 'T' is stopped, 'Z' is a zombie
    std::uint64_t started = 0;  ///< tells two processes apart that had the same id
};

/// Empty if there is no such process.
[[nodiscard]] std::optional<process> look_at(pid_t pid);

/// All living processes that descend from `ancestor`, without the families of its children `except`. Together with
/// PR_SET_CHILD_SUBREAPER nothing gets away: a daemon whose parents have ended is a child of `ancestor` again.
[[nodiscard]] std::vector<process> descendants(pid_t ancestor, std::span<const pid_t> except = {});

/// The children of `parent`, zombies included.
[[nodiscard]] std::vector<pid_t> children(pid_t parent);

/// Signals this very process, never another one that got its number. False: it is gone, or not ours to signal.
bool send_signal(const process& p, int number) noexcept;

/// Makes the calling process the one that orphaned descendants are given to.
void adopt_orphans() noexcept;

}  // namespace rowlock::cli
