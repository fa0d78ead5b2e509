#include "job.hpp"

#include <unistd.h>

#include <exception>
#include <thread>

#include "placement.hpp"

namespace bench {
namespace {

// The first of a block find cold caches and a clock of the CPU that is still slow.
std::int64_t thrown_away(std::int64_t times) { return 2 + times / 20; }

void run_cycles(const job& j, client& c, outcome& o) {
    o.durations_ns.reserve(static_cast<std::size_t>(j.times));
    for (std::int64_t i = -thrown_away(j.times); i < j.times; ++i) {
        const auto began = now();
        c.take();
        c.give_back();
        const auto ended = now();
        if (i >= 0) o.durations_ns.push_back((ended - began).count());
    }
}

// Who has a lock first keeps it until the others stand in line, too. Otherwise it would take it again and again until
// they have been started, which says nothing about the lock.
void await_rivals(const job& j, const page& p) {
    if (j.rivals == 0) return;
    while (p.wishing < j.rivals && !p.over) std::this_thread::sleep_for(std::chrono::microseconds{20});
    std::this_thread::sleep_for(std::chrono::milliseconds{2});  // from the wish to the server's queue
}

void run_contest(const job& j, client& c, page& p, outcome& o) {
    auto& lock = p.locks.at(j.lock);
    ++p.ready;
    while (!p.started) std::this_thread::sleep_for(std::chrono::microseconds{20});
    ++p.wishing;
    while (!p.over) {
        const auto wished = now();
        c.take();
        const auto granted = now();
        if (!o.granted_at_ns.empty()) o.durations_ns.push_back((granted - wished).count());
        o.granted_at_ns.push_back(granted.count());
        // Not what it had before itself: nobody was woken for that.
        const auto last = lock.last_holder.load();
        if (last >= 0 && last != static_cast<std::int64_t>(j.client))
            o.hand_overs_ns.push_back(granted.count() - lock.released_at_ns);
        if (last < 0) await_rivals(j, p);
        if (j.hold_ns > 0) spin(nanoseconds{j.hold_ns});
        lock.last_holder = j.client;
        lock.released_at_ns = now().count();
        c.give_back();
        if (j.think_ns > 0) spin(nanoseconds{j.think_ns});
    }
}

}  // namespace

void spin(nanoseconds t) {
    for (const auto until = now() + t; now() < until;) {
    }
}

outcome execute(const job& j, client& c, page& p) noexcept {
    outcome o;
    try {
        if (j.cpu >= 0) stay_on(j.cpu);
        switch (j.what) {
            case job::cycles:
                run_cycles(j, c, o);
                break;
            case job::contest:
                run_contest(j, c, p, o);
                break;
            case job::hold:
                c.take();
                break;
            case job::leave:
                _exit(0);
        }
    } catch (const std::exception& e) {
        o.failure = e.what();
        p.over = true;
    }
    o.finished_ns = now().count();
    return o;
}

}  // namespace bench
