#pragma once

#include <cstdint>
#include <functional>
#include <thread>

#include "descriptor.hpp"

namespace rowlock::postgres {

/// Watches sockets for their other end going away, in a thread of its own. It does not look at data, so ordinary
/// traffic neither wakes it nor costs a system call. epoll_ctl(2), EPOLLRDHUP.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class hang_up_watch {
public:
    /// `heard` runs in the watching thread, once for each socket that hung up, and must not throw.
    explicit hang_up_watch(std::function<void(std::uint64_t id)> heard);
    /// Waits for a call that is under way.
    ~hang_up_watch();
    hang_up_watch(const hang_up_watch&) = delete;
    hang_up_watch& operator=(const hang_up_watch&) = delete;

    /// Closing the socket ends its watch.
    void add(int socket, std::uint64_t id);

private:
    void run();

    const std::function<void(std::uint64_t)> heard_;
    const descriptor epoll_;
    const wake_up end_;
    std::thread thread_;
};

}  // namespace rowlock::postgres
