#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
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
    answer_wait(int socket, alarm& a) : alarm_{a} {
        add_to(both_, socket, EPOLLIN, answer);
        add_to(both_, alarm_.fd(), EPOLLIN, time_is_over);
    }

    /// True also where the other end hung up; false: `d` passed.
    [[nodiscard]] bool await(deadline d) {
        for (;;) {
            alarm_.ring_by(d);
            std::array<epoll_event, 2> all{};
            const int ready = epoll_wait(both_.get(), all.data(), static_cast<int>(all.size()), -1);
            if (ready < 0 && errno != EINTR) throw std::system_error{errno, std::generic_category(), "epoll_wait"};
            if (ready < 0) continue;
            if (ready == 2 || all[0].data.u64 == answer) return true;
            alarm_.clear();
            if (d.expired()) return false;
        }
    }

private:
    static constexpr std::uint64_t answer = 0, time_is_over = 1;

    alarm& alarm_;
    const descriptor both_{epoll_create1(EPOLL_CLOEXEC)};
};

}  // namespace rowlock::postgres
