#include "hang_up_watch.hpp"

#include <array>
#include <limits>
#include <utility>

#include <sys/epoll.h>

#include <quiet_thread.hpp>

namespace rowlock::postgres {
namespace {

constexpr auto end_id = std::numeric_limits<std::uint64_t>::max();

}  // namespace

hang_up_watch::hang_up_watch(std::function<void(std::uint64_t)> heard)
    : heard_{std::move(heard)}, epoll_{epoll_create1(EPOLL_CLOEXEC)} {
    add_to(epoll_, end_.fd(), EPOLLIN, end_id);
    thread_ = detail::quiet_thread([this] { run(); });
}

hang_up_watch::~hang_up_watch() {
    end_.ring();
    thread_.join();
}

void hang_up_watch::add(int socket, std::uint64_t id) { add_to(epoll_, socket, EPOLLRDHUP | EPOLLONESHOT, id); }

void hang_up_watch::run() {
    for (;;) {
        std::array<epoll_event, 16> events{};
        const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < count; ++i) {
            const auto id = events.at(static_cast<std::size_t>(i)).data.u64;
            if (id == end_id) return;
            heard_(id);
        }
    }
}

}  // namespace rowlock::postgres
