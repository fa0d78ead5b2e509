#pragma once

#include <sys/types.h>

#include <string>

#include <contenders/client.hpp>

#include "job.hpp"
#include "page.hpp"

namespace bench {

/// A process of its own with one client in it: this program, run again.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class child {
public:
    /// Returns when the client is there.
    child(const client_spec& s, const shared_page& p);
    /// Kills it if it is still there.
    ~child();
    child(const child&) = delete;
    child& operator=(const child&) = delete;

    void start(const job& j) const;
    outcome finish() const;

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    void signal(int number) const;

private:
    pid_t pid_ = -1;
    int orders_ = -1, answers_ = -1;
};

/// What such a process does instead of main(): `argv` as the constructor above made it. The exit status.
int be_child(int argc, char** argv);
inline constexpr std::string_view child_command = "client";

}  // namespace bench
