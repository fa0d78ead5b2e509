#include "break_listener.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <utility>

#include <poll.h>

#include <rowlock/error.hpp>

#include <no_answer.hpp>

namespace rowlock::postgres {
namespace {

constexpr auto channel = "rowlock_break";

// How long it takes to find a session to listen in, at first and at most.
constexpr int first_look_ms = 10, last_look_ms = 1000;

// Answers to others make the socket readable, too. While they go on, this side looks no more often than that; whoever
// takes an answer says at once what came with it.
constexpr int while_others_use_it_ms = 100;

// Who takes an answer has taken it by then.
constexpr int to_take_an_answer_ms = 1;

pollfd readable(int fd) { return {fd, POLLIN, 0}; }

}  // namespace

break_listener::break_listener(session_source& sessions, std::chrono::milliseconds operation_timeout,
                               std::function<void()> heard)
    : sessions_{sessions}, operation_timeout_{operation_timeout}, heard_{std::move(heard)} {}

void break_listener::start(const session_source::member& holder) {
    std::call_once(started_, [this] { job_.start([this](const std::stop_token& stop) { run(stop); }); });
    const std::lock_guard lock{mutex_};
    if (in_ && in_.get() != &holder && in_->waiting) news_->ring();
}

void break_listener::keep(std::shared_ptr<session_source::member> m) noexcept {
    const std::lock_guard lock{mutex_};
    if (in_) in_->kept = false;
    in_ = std::move(m);
    if (in_) in_->kept = true;
}

void break_listener::run(const std::stop_token& stop) {
    const std::stop_callback on_stop{stop, [this] { end_.ring(); }};
    auto end = readable(end_.fd());
    int pause = first_look_ms;
    do {
        try {
            if (auto here = sessions_.any_open(deadline::after(operation_timeout_))) {
                listen_in(*std::move(here));
                pause = first_look_ms;
            } else {
                pause = std::min(2 * pause, last_look_ms);
            }
        } catch (const std::exception&) {  // whoever uses the provider hears of it, too
            pause = last_look_ms;
        }
        keep(nullptr);
    } while (::poll(&end, 1, pause) <= 0);
}

// Until the listener ends, or the session waits while there are leases in others; throws where the session ends.
void break_listener::listen_in(session_source::use here) {
    const auto m = here.who();
    keep(m);
    {
        const auto mine = std::move(here);
        mine->listen(channel, news_, deadline::after(operation_timeout_));
    }
    heard_();  // what was broken before it listened
    for (bool others_use_it = false;;) {
        const auto came = others_use_it ? wait(-1, while_others_use_it_ms) : wait(m->s.socket(), -1);
        if (came == what_came::end) return;
        others_use_it = came == what_came::something && is_taken_by_others(m->s.socket());
        if (came == what_came::nothing || others_use_it) continue;
        news_->clear();
        if (came == what_came::news && m->waiting) return;
        bool heard = false;
        try {
            heard = sessions_.that(m, deadline::after(operation_timeout_))
                        ->take_notification(deadline::after(operation_timeout_));
        } catch (const detail::no_answer&) {
            throw;
        } catch (const connection_error&) {  // somebody has used it all the time
            news_->ring();
        }
        if (heard) heard_();
        others_use_it = !heard;
    }
}

auto break_listener::wait(int socket, int milliseconds) const -> what_came {
    std::array<pollfd, 3> all{{readable(end_.fd()), readable(news_->fd()), readable(socket)}};
    if (::poll(all.data(), socket < 0 ? 2 : 3, milliseconds) <= 0) return what_came::nothing;
    return all[0].revents != 0 ? what_came::end : all[1].revents != 0 ? what_came::news : what_came::something;
}

// Something could be read there, and nobody says that it was a notification.
bool break_listener::is_taken_by_others(int socket) const {
    if (wait(-1, to_take_an_answer_ms) != what_came::nothing) return false;
    auto left = readable(socket);
    return ::poll(&left, 1, 0) == 0;
}

}  // namespace rowlock::postgres
