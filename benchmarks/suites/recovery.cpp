#include <algorithm>
#include <chrono>
#include <csignal>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <contenders/back_ends.hpp>
#include <report/statistics.hpp>
#include <running/child.hpp>

#include "rows.hpp"
#include "suites.hpp"

// From the death of a holder, a process of its own, to the grant of the one who waits.

namespace bench {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t ttl_ms = 500;
constexpr auto patience = 1s;  // whoever is not replaced by then is not replaced for this reason
constexpr std::size_t enough_for_a_ratio = 10;
constexpr auto victim = "rowlock-bench-victim";

enum class death : std::uint8_t { killed, left, stopped, cut_off };
constexpr death all_deaths[]{death::killed, death::left, death::stopped, death::cut_off};

std::string describe_death(death d) {
    switch (d) {
        case death::killed:
            return "killed";
        case death::left:
            return "ended without a release";
        case death::stopped:
            return "stopped for good";
        case death::cut_off:
            return "cut off by the server";
    }
    return "";
}

void inflict(death d, const child& holder, server_monitor* server) {
    switch (d) {
        case death::killed:
            return holder.signal(SIGKILL);
        case death::left:
            return holder.start({.what = job::leave});
        case death::stopped:
            return holder.signal(SIGSTOP);
        case death::cut_off:
            return server->cut_off(victim);
    }
}

// Milliseconds; empty: the holder was not replaced.
std::optional<double> replace(client_spec s, death d, server_monitor* server) {
    const shared_page page;
    s.owner = victim;
    auto holder = std::make_unique<child>(s, page);
    holder->start({.what = job::hold});
    if (const auto o = holder->finish(); !o.failure.empty()) throw std::runtime_error{o.failure};
    s.owner = "rowlock-bench-next";
    const auto next = make_client(s);
    auto granted = std::async(std::launch::async, [&] {
        next->take();
        return now();
    });
    std::this_thread::sleep_for(100ms);  // the other one sleeps by then
    const auto began = now();
    inflict(d, *holder, server);
    const bool replaced = granted.wait_for(patience) == std::future_status::ready;
    holder.reset();  // kills it, so that the wait ends at last
    const auto ended = granted.get();
    next->give_back();
    if (!replaced) return std::nullopt;
    return std::chrono::duration<double, std::milli>{ended - began}.count();
}

// One that was not replaced once will not be the next time.
struct contestant {
    client_spec spec;
    bool replaced = true;
    std::vector<double> times{};

    void run(death d, server_monitor* server) {
        if (!replaced) return;
        const auto t = replace(spec, d, server);
        replaced = t.has_value();
        if (t) times.push_back(*t);
    }
};

// Each death is a pass of its own.
std::optional<ratio_estimate> ratio_of_deaths(const std::vector<double>& ours, const std::vector<double>& theirs) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) ratios.push_back(ours[i] / theirs[i]);
    return estimate(std::move(ratios));
}

void measure(const settings& s, report& r, const std::string& url, death d) {
    const auto& kind = back_end_of(url);
    const auto cpus = s.cpus->usual(url);
    s.cpus->place(cpus, url);
    measurement m{.suite = "recovery",
                  .back_end = name_of(url),
                  .work = describe_death(d),
                  .cpus = std::string{to_string(cpus)},
                  .ours = kind.library};
    const auto server = kind.monitor ? kind.monitor(rest_of(url)) : nullptr;
    const client_spec spec{.url = url, .lock = "recovery", .contended = true, .ttl_ms = ttl_ms};
    contestant ours{spec}, theirs{spec};
    theirs.spec.who = side::baseline;
    const bool paired = make_client(theirs.spec) != nullptr;
    if (paired) m.baseline = kind.baseline_name;
    const auto trials = s.passes_or(1, 15);
    for (std::size_t i = 0; i < trials; ++i) {
        s.shown->show("recovery: " + title_of(m), i, trials);
        ours.run(d, server.get());
        if (paired) theirs.run(d, server.get());
    }
    const auto note = [&](const contestant& c, const std::string& who) {
        if (!c.replaced) m.note += fmt::format("{} not replaced within {} ms. ", who, patience / 1ms);
    };
    note(ours, m.ours ? "rowlock" : m.back_end);
    if (paired) note(theirs, m.baseline);
    if (kind.ends_by_ttl) m.note += fmt::format("Time to live {} ms.", ttl_ms);
    if (ours.replaced) {
        figure p50{.name = "p50", .unit = "ms", .value = median(ours.times)};
        figure most{.name = "max", .unit = "ms", .value = *std::max_element(ours.times.begin(), ours.times.end())};
        if (paired && theirs.replaced) {
            p50.baseline = median(theirs.times);
            most.baseline = *std::max_element(theirs.times.begin(), theirs.times.end());
            // Each time is the end of something that was waited for; a few of them make no ratio.
            if (ours.times.size() >= enough_for_a_ratio) set_ratio(p50, ratio_of_deaths(ours.times, theirs.times));
        }
        m.figures = {p50, most};
    }
    r.measurements.push_back(std::move(m));
}

}  // namespace

void measure_recovery(const settings& s, report& r) {
    for (const auto& url : s.urls) {
        const auto& kind = back_end_of(url);
        if (!kind.processes) continue;
        for (const auto d : all_deaths)
            if (d != death::cut_off || kind.monitor) measure(s, r, url, d);
    }
}

}  // namespace bench
