#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace bench {

/// A server that is started for a run, and ends with the object.
class server_process {
public:
    /// Returns when its socket is there.
    /// @throws std::runtime_error there is no such program, or it did not start
    server_process(const std::vector<std::string>& command, const std::filesystem::path& socket);
    ~server_process();
    server_process(const server_process&) = delete;
    server_process& operator=(const server_process&) = delete;

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

private:
    void end() const;
    pid_t pid_ = -1;
};

}  // namespace bench
