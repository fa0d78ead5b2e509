#include "scale.hpp"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include <contenders/back_ends.hpp>
#include <contenders/library_client.hpp>
#include <rowlock/rowlock.hpp>
#include <running/page.hpp>

#include "suites.hpp"

// Many locks, and many that wait. These are counts and sizes; there is nothing to compare them with.

namespace bench {
namespace {

using namespace std::chrono_literals;

// Renewed every second, so that a short look at an idle server sees it.
constexpr auto ttl = 3s;
constexpr auto owner = "rowlock-bench-scale";

double heap_in_use() {
    const auto all = mallinfo2();
    return static_cast<double>(all.uordblks + all.hblkhd);
}

rowlock::provider open_owned(const std::string& url) {
    return open_for(url, {.ttl = ttl, .operation_timeout = 60s, .owner = owner});
}

// What the server sees of it while nobody does anything.
void add_server_figures(measurement& m, const std::string& url, std::chrono::milliseconds time) {
    const auto& kind = back_end_of(url);
    if (!kind.monitor) return;
    const auto server = kind.monitor(rest_of(url));
    m.figures.push_back({.name = "connections", .value = static_cast<double>(server->connections(owner))});
    m.figures.push_back(
        {.name = "statements while idle", .unit = "/s", .value = server->statements_per_second(owner, time)});
}

measurement waiters(const std::string& url, std::size_t count, bool one_name, bool quick) {
    measurement m{.suite = "scale",
                  .back_end = name_of(url),
                  .work = one_name ? "waiting for one name" : "waiting, each for a name",
                  .clients = fmt::format("{} threads", count)};
    const auto name = [&](std::size_t i) { return fmt::format("waited for {}", one_name ? 0 : i); };
    auto holder = open_for(url, {.owner = "rowlock-bench-holder"});
    std::vector<rowlock::lock_handle> held;
    for (std::size_t i = 0; i < (one_name ? 1 : count); ++i) held.push_back(holder.acquire(name(i)));

    auto locks = open_owned(url);
    (void)locks.try_acquire(name(0));  // connects
    std::stop_source stop;
    std::atomic<std::size_t> running{0};
    std::vector<std::jthread> all;
    all.reserve(count);
    const auto before = heap_in_use();
    for (std::size_t i = 0; i < count; ++i)
        all.emplace_back([&, i] {
            ++running;
            try {
                (void)locks.acquire(name(i), stop.get_token());
            } catch (const rowlock::cancelled&) {
                // As it should be.
            } catch (const rowlock::error& e) {
                fmt::print(stderr, "{}: {}\n", title_of(m), e.what());
            }
            --running;
        });
    while (running < count) std::this_thread::sleep_for(1ms);
    std::this_thread::sleep_for(quick ? 500ms : 1s);  // until all of them have asked and sleep
    m.figures.push_back(
        {.name = "memory", .unit = "B each", .value = (heap_in_use() - before) / static_cast<double>(count)});
    add_server_figures(m, url, quick ? 1s : 8s);
    const auto began = now();
    stop.request_stop();
    all.clear();
    m.figures.push_back({.name = "to cancel all",
                         .unit = "ms",
                         .value = std::chrono::duration<double, std::milli>{now() - began}.count()});
    return m;
}

}  // namespace

measurement held_locks(const std::string& url, std::size_t count, bool quick) {
    measurement m{
        .suite = "scale", .back_end = name_of(url), .work = "held", .clients = fmt::format("{} locks", count)};
    auto locks = open_owned(url);
    { const auto connected = locks.try_acquire("first"); }
    constexpr std::size_t at_once = 500;
    std::vector<rowlock::lock_handle> held;
    held.reserve(count);
    const auto before = heap_in_use();
    const auto began = now();
    for (std::size_t i = 0; i < count;) {
        std::vector<std::string> names;
        for (; i < count && names.size() < at_once; ++i) names.push_back(fmt::format("held {}", i));
        auto some = locks.try_acquire_all(names).value();
        for (auto& h : some) held.push_back(std::move(h));
    }
    const auto each = static_cast<double>(count);
    m.figures.push_back({.name = "to acquire",
                         .unit = "us each",
                         .value = std::chrono::duration<double, std::micro>{now() - began}.count() / each});
    m.figures.push_back({.name = "memory", .unit = "B each", .value = (heap_in_use() - before) / each});
    const auto& kind = back_end_of(url);
    add_server_figures(m, url, kind.ends_by_ttl ? idle_time(quick) : quick ? 1s : 8s);
    // The server looks through all locks of a session after each statement: to release them one by one takes long.
    if (kind.monitor) kind.monitor(rest_of(url))->cut_off(owner);
    return m;
}

void measure_scale(const settings& s, report& r) {
    const auto held =
        s.quick ? std::vector<std::size_t>{100, 10'000} : std::vector<std::size_t>{1, 10, 100, 1000, 10'000, 100'000};
    const auto waiting = s.quick ? std::vector<std::size_t>{100} : std::vector<std::size_t>{1, 10, 100, 1000};
    for (const auto& url : s.urls) {
        if (!back_end_of(url).library) continue;
        s.cpus->place(placement::any_cpu, url);  // counts do not depend on it, and a thousand threads need room
        std::size_t done = 0;
        const auto tell = [&] { s.shown->show("scale: " + name_of(url), done++, held.size() + 2 * waiting.size()); };
        for (const auto count : held) {
            tell();
            const auto began = now();
            try {
                r.measurements.push_back(held_locks(url, count, s.quick));
            } catch (const rowlock::error& e) {  // a server may have no room for so many
                r.measurements.push_back({.suite = "scale",
                                          .back_end = name_of(url),
                                          .work = "held",
                                          .clients = fmt::format("{} locks", count),
                                          .note = fmt::format("Not possible: {}.", e.what())});
                break;
            }
            if (count == held.back() || now() - began < 30s) continue;
            r.measurements.back().note = fmt::format("It took {} s, so more were not tried.", (now() - began) / 1s);
            break;
        }
        for (const bool one_name : {true, false})
            for (const auto count : waiting) {
                tell();
                r.measurements.push_back(waiters(url, count, one_name, s.quick));
            }
    }
}

}  // namespace bench
