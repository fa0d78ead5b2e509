#pragma once

#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

namespace demo {

/// A file descriptor that is closed at the end.
class descriptor {
public:
    descriptor() = default;
    explicit descriptor(int fd) : fd_{fd} {}
    descriptor(descriptor&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
    descriptor& operator=(descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~descriptor() { close(); }
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    [[nodiscard]] int get() const { return fd_; }

private:
    int fd_ = -1;
};

struct pipe_ends {
    descriptor read, write;
};
[[nodiscard]] pipe_ends make_pipe();

/// This program once more, in a process of its own that ends with this object at the latest.
class process {
public:
    process(const std::vector<std::string>& arguments, const descriptor& input, const descriptor& output);
    process(process&& other) noexcept : pid_{std::exchange(other.pid_, -1)}, id_{other.id_} {}
    process& operator=(process&&) = delete;
    ~process() { kill(); }

    [[nodiscard]] int id() const { return id_; }
    /// Sends SIGKILL and waits until the process is gone.
    void kill() noexcept;
    /// "exit status 2", "signal 11"; empty while it runs, and for one that ended with status 0.
    [[nodiscard]] std::string failure();

private:
    int pid_ = -1;  ///< -1: gone
    int id_ = -1;
};

}  // namespace demo
