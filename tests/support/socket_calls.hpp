#pragma once

#include <dlfcn.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

// Counts what is really done on libpq's sockets: a program's own send(), recv(), poll(), ppoll() and epoll_wait() go
// before those of the C library.
// Include it in one source file of a program. Each thread has its own count, as renewals and the like go on beside what
// a test counts.

namespace rowlock::test {

inline thread_local int sends = 0;
inline thread_local int receives = 0;
inline thread_local int polls = 0;

template <class F>
F* next_symbol(const char* name) {
    return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

}  // namespace rowlock::test

extern "C" ssize_t send(int fd, const void* data, size_t size, int flags) {
    static auto* const real = rowlock::test::next_symbol<ssize_t(int, const void*, size_t, int)>("send");
    ++rowlock::test::sends;
    return real(fd, data, size, flags);
}

extern "C" ssize_t recv(int fd, void* data, size_t size, int flags) {
    static auto* const real = rowlock::test::next_symbol<ssize_t(int, void*, size_t, int)>("recv");
    ++rowlock::test::receives;
    return real(fd, data, size, flags);
}

extern "C" int poll(pollfd* fds, nfds_t count, int timeout_ms) {
    static auto* const real = rowlock::test::next_symbol<int(pollfd*, nfds_t, int)>("poll");
    ++rowlock::test::polls;
    return real(fds, count, timeout_ms);
}

extern "C" int epoll_wait(int epoll, epoll_event* events, int most, int timeout_ms) {
    static auto* const real = rowlock::test::next_symbol<int(int, epoll_event*, int, int)>("epoll_wait");
    ++rowlock::test::polls;
    return real(epoll, events, most, timeout_ms);
}

extern "C" int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
    static auto* const real =
        rowlock::test::next_symbol<int(pollfd*, nfds_t, const timespec*, const sigset_t*)>("ppoll");
    ++rowlock::test::polls;
    return real(fds, count, timeout, mask);
}
