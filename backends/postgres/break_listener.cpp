#include "break_listener.hpp"

#include <array>
#include <chrono>
#include <exception>
#include <utility>

#include <poll.h>

#include "settings.hpp"

namespace rowlock::postgres {
namespace {

using namespace std::chrono_literals;

constexpr auto listen_script = "LISTEN rowlock_break";

// True: there is something to read on `fd`. False: the end has come, or `timeout_ms` is over.
bool readable(int fd, int end, int timeout_ms) {
    std::array<pollfd, 2> both{{{end, POLLIN, 0}, {fd, POLLIN, 0}}};
    return ::poll(both.data(), fd < 0 ? 1 : 2, timeout_ms) > 0 && both[0].revents == 0 && both[1].revents != 0;
}

}  // namespace

break_listener::break_listener(conninfo to, std::string_view backend, std::function<void()> heard)
    : to_{std::move(to)}, backend_{backend}, heard_{std::move(heard)} {}

void break_listener::start() {
    std::call_once(started_, [this] { job_.start([this](const std::stop_token& stop) { run(stop); }); });
}

void break_listener::run(const std::stop_token& stop) {
    const std::stop_callback on_stop{stop, [this] { end_.ring(); }};
    for (;;) {
        try {
            return listen(stop);
        } catch (const std::exception&) {  // whoever uses the provider hears of it, too
            std::array<pollfd, 1> end{{{end_.fd(), POLLIN, 0}}};
            if (::poll(end.data(), 1, 1000) > 0) return;
        }
    }
}

void break_listener::listen(const std::stop_token& stop) {
    session s{to_, backend_, wait_bound{deadline::after(5s), stop}};
    if (stop.stop_requested()) return;
    settle_in(s, false, deadline::after(5s));
    (void)s.run_script(listen_script, deadline::after(5s));
    heard_();  // what was broken before it listened
    while (readable(s.socket(), end_.fd(), -1))
        if (s.take_notification(s.schema())) heard_();
}

}  // namespace rowlock::postgres
