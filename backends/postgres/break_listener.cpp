#include "break_listener.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <utility>

#include <poll.h>

namespace rowlock::postgres {
namespace {

using namespace std::chrono_literals;

constexpr auto channel = "rowlock_break";

// How long it takes to find a session to listen in, at first and at most.
constexpr int first_look_ms = 10, last_look_ms = 1000;

// Answers to others make the socket readable, too. While they go on, this side looks no more often than that; whoever
// takes an answer says at once what came with it.
constexpr int while_others_use_it_ms = 100;

constexpr auto time_for_a_statement = 5s;

pollfd readable(int fd) { return {fd, POLLIN, 0}; }

}  // namespace

break_listener::break_listener(session_source& sessions, std::function<void()> heard)
    : sessions_{sessions}, heard_{std::move(heard)} {}

void break_listener::start() {
    std::call_once(started_, [this] { job_.start([this](const std::stop_token& stop) { run(stop); }); });
}

void break_listener::run(const std::stop_token& stop) {
    const std::stop_callback on_stop{stop, [this] { end_.ring(); }};
    auto end = readable(end_.fd());
    int pause = first_look_ms;
    do {
        try {
            if (auto here = sessions_.any_open(deadline::after(time_for_a_statement))) {
                pause = last_look_ms;  // if it cannot listen there, or that session ends
                listen_in(*std::move(here));
            }
        } catch (const std::exception&) {  // whoever uses the provider hears of it, too
        }
        pause = std::min(2 * pause, last_look_ms);
    } while (::poll(&end, 1, pause) <= 0);
}

// Until the session or the listener ends.
void break_listener::listen_in(session_source::use here) {
    const auto m = here.who();
    const struct keeping {
        explicit keeping(session_source::member& s) : kept{s.kept} { kept = true; }
        ~keeping() { kept = false; }
        std::atomic<bool>& kept;
    } keep{*m};
    {
        const auto mine = std::move(here);
        mine->listen(channel, news_, deadline::after(time_for_a_statement));
    }
    heard_();  // what was broken before it listened
    for (bool others_use_it = false;;) {
        std::array<pollfd, 3> all{{readable(end_.fd()), readable(news_->fd()), readable(m->s.socket())}};
        const bool any = ::poll(all.data(), others_use_it ? 2 : 3, others_use_it ? while_others_use_it_ms : -1) > 0;
        if (all[0].revents != 0) return;
        others_use_it = false;
        if (!any) continue;
        news_->clear();
        const bool heard = sessions_.that(m, deadline::after(time_for_a_statement))
                               ->take_notification(deadline::after(time_for_a_statement));
        if (heard) heard_();
        others_use_it = !heard;
    }
}

}  // namespace rowlock::postgres
