#include "message.hpp"

#include <cerrno>
#include <system_error>

#include <sys/socket.h>

namespace rowlock::cli {

std::pair<channel, channel> channel::create() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        throw std::system_error{errno, std::generic_category(), "cannot create a socket pair"};
    return {channel{ends[0]}, channel{ends[1]}};
}

void channel::send(const message& m) const noexcept {
    (void)::send(fd_.get(), &m, sizeof m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void channel::send_surely(const message& m) const noexcept {
    while (::send(fd_.get(), &m, sizeof m, MSG_NOSIGNAL) < 0 && errno == EINTR) {
    }
}

std::optional<message> channel::receive(state& s) const noexcept {
    s = state::open;
    message m;
    ssize_t got = 0;
    // Told once if the other end was closed before it had read everything, ahead of what it had sent itself (Linux,
    // unix_release_sock()): its last words are still to come.
    do got = ::recv(fd_.get(), &m, sizeof m, MSG_DONTWAIT);
    while (got < 0 && (errno == ECONNRESET || errno == EINTR));
    if (got == static_cast<ssize_t>(sizeof m)) return m;
    if (got >= 0 || errno != EAGAIN) s = state::closed;
    return std::nullopt;
}

}  // namespace rowlock::cli
