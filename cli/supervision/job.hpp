#pragma once

#include <chrono>
#include <optional>

#include <sys/types.h>

#include <rowlock/deadline.hpp>

namespace rowlock::cli {

/// The command's processes, from outside: all descendants of the calling process, which must adopt orphans.
///
/// Distinct objects: one for each process.
/// Shared objects: unsafe.
class job {
public:
    /// @param leader child of the calling process, which leads a process group of its own
    explicit job(pid_t leader) noexcept : leader_{leader} {}

    [[nodiscard]] pid_t group() const noexcept { return leader_; }

    /// What `waitpid` said about a child.
    void on_child(pid_t pid, int status);
    /// `waitpid` said that there are no children any more: then there are no descendants either, because whoever is
    /// orphaned becomes a child.
    void on_childless() noexcept { gone_ = true; }

    [[nodiscard]] bool stopped() const noexcept { return stopped_; }
    [[nodiscard]] bool ended() const noexcept { return status_.has_value(); }  ///< the command itself
    [[nodiscard]] bool gone() const noexcept { return gone_; }                 ///< and all that it started
    /// Of the command itself, as `waitpid` gives it; it must have ended.
    [[nodiscard]] int status() const noexcept { return status_.value_or(0); }

    /// Sends a signal to the command's process group.
    void signal_group(int number) const;

    /// SIGTERM to all processes, wherever they hide, and SIGKILL after `grace`.
    void end(std::chrono::milliseconds grace);
    /// SIGKILL to all, until none is left.
    void kill_all();

    /// When `on_timer` wants to be called.
    [[nodiscard]] deadline next_timer() const noexcept { return next_; }
    void on_timer();

private:
    void signal_all(int number) const;

    pid_t leader_;
    bool stopped_ = false;
    bool gone_ = false;
    std::optional<int> status_;
    bool ending_ = false;
    bool killing_ = false;
    int kills_ = 0;
    deadline next_ = deadline::never();
};

}  // namespace rowlock::cli
