#pragma once

#include <functional>
#include <stdexcept>

#include <sys/wait.h>
#include <unistd.h>

#include "fork_under_tsan.hpp"

namespace rowlock::test {

/// What `f` returns in a child process; 99 if it throws, -1 if the child was killed.
inline int in_child(const std::function<int()>& f) {
    const auto pid = fork();
    if (pid == 0) {
        int result = 99;
        try {
            result = f();
        } catch (...) {
        }
        _exit(result);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// Whether the library says that `use` is not for a forked child.
inline bool is_refused(const std::function<void()>& use) {
    try {
        use();
    } catch (const std::logic_error&) {
        return true;
    }
    return false;
}

}  // namespace rowlock::test
