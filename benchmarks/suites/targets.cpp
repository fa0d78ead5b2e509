#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include <contenders/back_ends.hpp>
#include <contenders/library_client.hpp>
#include <rowlock/rowlock.hpp>
#include <running/call_count.hpp>
// The library's sends and receives are those of libpq.
#include <tests/support/socket_calls.hpp>

#include "scale.hpp"
#include "suites.hpp"
#include "target_table.hpp"

// What only the targets ask for: counts, which do not depend on the machine.

namespace bench {
namespace {

using namespace std::chrono_literals;

// What libpq sends and receives in this thread for one `cycle`.
template <class Cycle>
std::vector<figure> socket_calls_of(int cycles, Cycle cycle) {
    cycle();  // prepares the statements
    const int sends = rowlock::test::sends, receives = rowlock::test::receives;
    for (int i = 0; i < cycles; ++i) cycle();
    const auto each = [&](int n) { return static_cast<double>(n) / cycles; };
    return {{.name = "sends", .value = each(rowlock::test::sends - sends)},
            {.name = "receives", .value = each(rowlock::test::receives - receives)}};
}

void count_socket_calls(const std::string& url, report& r) {
    const auto add = [&](const char* work, std::vector<figure> figures) {
        r.measurements.push_back(
            {.suite = "targets", .back_end = name_of(url), .work = work, .figures = std::move(figures)});
    };
    auto locks = open_for(url);
    rowlock::mutex m{locks, "counted"};
    add("acquire + release", socket_calls_of(100, [&] { m.acquire().release(); }));
    add("acquire with a timeout + release", socket_calls_of(100, [&] { m.try_acquire_for(5s).value().release(); }));
    std::vector<std::string> names;
    for (int i = 0; i < 100; ++i) names.push_back(fmt::format("one of many {}", i));
    // Releases are not part of it: what was sent and received between the question and the answer.
    (void)locks.try_acquire_all(names);
    const int sends = rowlock::test::sends, receives = rowlock::test::receives;
    const auto held = locks.try_acquire_all(names);
    add("100 names at once", {{.name = "sends", .value = static_cast<double>(rowlock::test::sends - sends)},
                              {.name = "receives", .value = static_cast<double>(rowlock::test::receives - receives)}});
}

void count_log_of_busy_tries(const std::string& url, report& r) {
    const auto server = back_end_of(url).monitor(rest_of(url));
    const auto in_vain = make_client({.url = url, .what = work::busy, .lock = "busy"});
    in_vain->take();
    // Others write into the log, too: the server's own housekeeping. What the tries write is in each round.
    auto least = std::numeric_limits<std::int64_t>::max();
    for (int round = 0; round < 5; ++round) {
        const auto before = server->log_bytes();
        for (int i = 0; i < 1000; ++i) in_vain->take();
        least = std::min(least, server->log_bytes() - before);
    }
    r.measurements.push_back({.suite = "targets",
                              .back_end = name_of(url),
                              .work = "1000 busy tries",
                              .figures = {{.name = "WAL", .unit = "B", .value = static_cast<double>(least)}},
                              .note = "the least of five rounds"});
}

void wear_a_row(const settings& s, const std::string& url, report& r) {
    const int cycles = s.quick ? 10'000 : 100'000;
    const auto server = back_end_of(url).monitor(rest_of(url));
    // It is counted, and so the disk need not be waited for; a server that is not ours stays as it is.
    const bool quickly = s.cpus->started_here(url);
    if (quickly) server->wait_for_disk(false);
    rowlock::mutex m{open_for(url), "worn"};
    m.acquire().release();
    std::this_thread::sleep_for(1500ms);
    const auto before = server->worn();
    for (int i = 0; i < cycles; ++i) {
        if (i % 100 == 0) s.shown->show("targets: lease cycles", static_cast<std::size_t>(i), 100'000);
        m.acquire().release();
    }
    std::this_thread::sleep_for(1500ms);
    m.acquire().release();  // a session tells its counters at the end of a transaction
    std::this_thread::sleep_for(1500ms);
    const auto after = server->worn();
    if (quickly) server->wait_for_disk(true);
    r.measurements.push_back(
        {.suite = "targets",
         .back_end = name_of(url),
         .work = "100,000 cycles",
         .figures = {{.name = "table", .unit = "KB", .value = (after.table_bytes - before.table_bytes) / 1024},
                     {.name = "HOT",
                      .unit = "%",
                      .value =
                          100 * (after.updates_in_place - before.updates_in_place) / (after.updates - before.updates)}},
         .note = s.quick ? "a quick run: 10,000 cycles" : ""});
}

// A client's cycle; made in the process that is traced.
auto cycle_of(const client_spec& s) {
    return [s]() -> std::function<void()> {
        std::shared_ptr<client> c = make_client(s);
        return [c] {
            c->take();
            c->give_back();
        };
    };
}

void count_system_calls(const std::string& url, report& r) {
    measurement m{.suite = "targets", .back_end = name_of(url), .work = "acquire + release"};
    constexpr int cycles = 200;
    const client_spec ours{.url = url, .lock = "traced"};
    auto theirs = ours;
    theirs.who = side::baseline;
    try {
        const auto a = system_calls_of(cycle_of(ours), cycles), b = system_calls_of(cycle_of(theirs), cycles);
        m.baseline = back_end_of(url).baseline_name;
        m.figures = {{.name = "system calls", .value = a, .baseline = b},
                     {.name = "more system calls", .value = a - b}};
        m.note = fmt::format("{} and {} a cycle", show(a), show(b));
    } catch (const std::exception& e) {
        m.note = e.what();
    }
    r.measurements.push_back(std::move(m));
}

bool has(const report& r, const std::string& back_end, std::string_view work, std::string_view clients) {
    return std::any_of(r.measurements.begin(), r.measurements.end(), [&](const measurement& m) {
        return m.suite == "scale" && m.back_end == back_end && m.work == work && m.clients == clients;
    });
}

}  // namespace

void measure_targets(const settings& s, report& r) {
    for (const auto& url : s.urls) {
        const auto name = name_of(url);
        s.shown->show("targets: " + name, 0, 1);
        s.cpus->place(placement::any_cpu, url);
        if (name == "sqlite") count_system_calls(url, r);
        if (!name.starts_with("postgresql")) continue;
        count_socket_calls(url, r);
        if (!has(r, name, "held", "10000 locks")) r.measurements.push_back(held_locks(url, 10'000, s.quick));
        if (name != "postgresql+lease") continue;
        count_log_of_busy_tries(url, r);
        wear_a_row(s, url, r);
    }
    judge_targets(r);
}

}  // namespace bench
