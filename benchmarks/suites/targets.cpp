#include <algorithm>
#include <chrono>
#include <cmath>
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
#include <rowlock/schema.hpp>
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
    // In tables of its own: others have grown by what was done with them before.
    constexpr auto schema = "rowlock_bench_worn";
    server->drop_schema(schema);
    const rowlock::options opt{.schema = schema};
    rowlock::open_schema(url, opt).migrate();
    // It is counted, and so the disk need not be waited for; a server that is not ours stays as it is.
    const bool quickly = s.cpus->started_here(url);
    if (quickly) server->wait_for_disk(false);
    {
        rowlock::mutex m{open_for(url, opt), "worn"};
        m.acquire().release();
        std::this_thread::sleep_for(1500ms);
        const auto before = server->worn(schema);
        for (int i = 0; i < cycles; ++i) {
            if (i % 100 == 0)
                s.shown->show("targets: lease cycles", static_cast<std::size_t>(i), static_cast<std::size_t>(cycles));
            m.acquire().release();
        }
        std::this_thread::sleep_for(1500ms);
        m.acquire().release();  // a session tells its counters at the end of a transaction
        std::this_thread::sleep_for(1500ms);
        const auto after = server->worn(schema);
        r.measurements.push_back({.suite = "targets",
                                  .back_end = name_of(url),
                                  .work = "100,000 cycles",
                                  .figures = {{.name = "table", .unit = "KB", .value = after.table_bytes / 1024},
                                              {.name = "HOT",
                                               .unit = "%",
                                               .value = 100 * (after.updates_in_place - before.updates_in_place) /
                                                        (after.updates - before.updates)}},
                                  .note = s.quick ? "a quick run: 10,000 cycles" : ""});
    }
    if (quickly) server->wait_for_disk(true);
    server->drop_schema(schema);
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

const measurement& held_in(report& r, const settings& s, const std::string& url, std::size_t count) {
    const auto find = [&] {
        return std::find_if(r.measurements.begin(), r.measurements.end(), [&](const measurement& m) {
            return m.suite == "scale" && m.back_end == name_of(url) && m.work == "held" &&
                   m.clients == fmt::format("{} locks", count);
        });
    };
    if (find() == r.measurements.end()) r.measurements.push_back(held_locks(url, count, s.quick));
    return *find();
}

// Whether renewals grow with what is held.
void compare_idle_statements(const settings& s, const std::string& url, report& r) {
    const auto statements = [&](std::size_t count) {
        const auto* f = held_in(r, s, url, count).find("statements while idle");
        return f ? f->value * std::chrono::duration<double>{idle_time(s.quick)}.count() : 0;
    };
    const auto few = statements(100), many = statements(10'000);
    r.measurements.push_back(
        {.suite = "targets",
         .back_end = name_of(url),
         .work = "10,000 held beside 100",
         .figures = {{.name = "more statements while idle", .value = std::round(many - few)}},
         .note = fmt::format("{:.0f} and {:.0f} in {} s; one may be at the edge of that time", many, few,
                             std::chrono::duration<double>{idle_time(s.quick)}.count())});
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
        (void)held_in(r, s, url, 10'000);
        count_log_of_busy_tries(url, r);
        if (name != "postgresql+lease") continue;
        compare_idle_statements(s, url, r);
        wear_a_row(s, url, r);
    }
    judge_targets(r);
}

}  // namespace bench
