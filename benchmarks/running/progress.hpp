#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace bench {

/// A line on the terminal that says what is being measured and how far it is; nothing where standard error is none.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class progress {
public:
    progress();
    ~progress();
    progress(const progress&) = delete;
    progress& operator=(const progress&) = delete;

    /// `done` of `all` parts of `what` are over.
    /// @throws std::runtime_error SIGINT, SIGTERM or SIGHUP has come: servers that were started must not stay behind
    void show(const std::string& what, std::size_t done, std::size_t all);
    void clear();

private:
    static void interrupt(int);

    const bool on_terminal_;
    const std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
    std::chrono::steady_clock::time_point last_{};
    bool visible_ = false;
};

}  // namespace bench
