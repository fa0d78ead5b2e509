#pragma once

#include <cerrno>
#include <system_error>
#include <utility>

#include <sys/eventfd.h>
#include <unistd.h>

namespace rowlock::postgres {

/// A file descriptor that is closed at its end.
class descriptor {
public:
    explicit descriptor(int fd) : fd_{fd} {
        if (fd_ < 0) throw std::system_error{errno, std::generic_category(), "out of file descriptors"};
    }
    ~descriptor() { close(fd_); }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;

    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    const int fd_;
};

/// Ends somebody's poll() from another thread. eventfd(2).
///
/// Shared objects: safe.
class wake_up {
public:
    [[nodiscard]] int fd() const noexcept { return event_.get(); }
    void ring() const noexcept {
        const eventfd_t one = 1;
        (void)!write(event_.get(), &one, sizeof one);
    }
    void clear() const noexcept {
        eventfd_t ignored = 0;
        (void)!read(event_.get(), &ignored, sizeof ignored);
    }

private:
    descriptor event_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

}  // namespace rowlock::postgres
