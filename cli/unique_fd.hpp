#pragma once

#include <utility>

#include <unistd.h>

namespace rowlock::cli {

/// Owns a file descriptor.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class unique_fd {
public:
    unique_fd() = default;
    explicit unique_fd(int fd) noexcept : fd_{fd} {}
    unique_fd(unique_fd&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        unique_fd old{std::exchange(fd_, std::exchange(other.fd_, -1))};
        return *this;
    }
    ~unique_fd() {
        if (fd_ >= 0) ::close(fd_);
    }

    [[nodiscard]] int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }

private:
    int fd_ = -1;
};

}  // namespace rowlock::cli
