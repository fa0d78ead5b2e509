#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "slack.hpp"

namespace rowlock::test {

/// Another process, which does with locks what it is told; see actor.cpp for what it understands. It is started with
/// posix_spawn, so nothing of this process is copied into it, and it dies when its end of the pipe closes.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class actor_process {
public:
    /// @param wrapper a command that starts the one that follows it, such as {"unshare", "--pid", "--fork"}
    explicit actor_process(const std::vector<std::string>& wrapper = {});
    ~actor_process();
    actor_process(actor_process&& other) noexcept;
    actor_process& operator=(actor_process&&) = delete;

    /// Sends one command. Its answer comes when it comes.
    void tell(const std::string& command);
    /// The answer to the oldest command that was not answered yet.
    /// @throws std::runtime_error it did not come in time, or the process is gone
    [[nodiscard]] std::string answer(std::chrono::milliseconds limit = patience);
    /// Whether no answer is there yet.
    [[nodiscard]] bool is_silent() const;
    /// tell(), then answer().
    std::string ask(const std::string& command) {
        tell(command);
        return answer();
    }
    /// ask() for commands that must succeed.
    /// @throws std::runtime_error the answer does not begin with "ok"
    std::string expect_ok(const std::string& command);
    /// The command "open"; the URL may have blanks in it.
    void open(const std::string& url, const std::string& more = {});

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    void kill();    ///< SIGKILL, and waits until the process is gone
    void pause();   ///< SIGSTOP, and waits until it stands still
    void resume();  ///< SIGCONT
    /// Lets it end in its own time; its exit status.
    int finish();

private:
    void reap() noexcept;

    pid_t pid_ = -1;
    int to_ = -1, from_ = -1;
    std::string unread_;
};

/// "ok 12" -> 12. @throws std::runtime_error another answer
[[nodiscard]] std::uint64_t token_in(const std::string& answer);

}  // namespace rowlock::test
