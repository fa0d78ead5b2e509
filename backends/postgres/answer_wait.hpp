#pragma once

#include <array>
#include <cerrno>
#include <system_error>

#include <rowlock/deadline.hpp>

#include <sys/epoll.h>

#include "descriptor.hpp"

namespace rowlock::postgres {

/// Waits until there is something to read from a socket, or until a deadline, and costs hardly more than to wait for
/// the socket alone: it and the alarm are registered once, where poll(2) goes through both each time. epoll(7).
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class answer_wait {
public:
    /// @param socket open for as long as anybody waits here
    answer_wait(int socket, alarm& a) : socket_{socket}, alarm_{a} {
        add(socket);
        add(alarm_.fd());
    }

    /// True also where the other end hung up; false: `d` passed.
    [[nodiscard]] bool await(deadline d) {
        for (;;) {
            alarm_.ring_by(d);
            std::array<epoll_event, 2> all{};
            const int ready = epoll_wait(both_.get(), all.data(), static_cast<int>(all.size()), -1);
            if (ready < 0 && errno != EINTR) throw std::system_error{errno, std::generic_category(), "epoll_wait"};
            if (ready < 0) continue;
            if (all[0].data.fd == socket_ || (ready > 1 && all[1].data.fd == socket_)) return true;
            alarm_.clear();
            if (d.expired()) return false;
        }
    }

private:
    void add(int fd) const {
        epoll_event e{.events = EPOLLIN, .data = {.fd = fd}};
        if (epoll_ctl(both_.get(), EPOLL_CTL_ADD, fd, &e) != 0)
            throw std::system_error{errno, std::generic_category(), "epoll_ctl"};
    }

    const int socket_;
    alarm& alarm_;
    const descriptor both_{epoll_create1(EPOLL_CLOEXEC)};
};

}  // namespace rowlock::postgres
