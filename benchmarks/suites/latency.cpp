#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <contenders/back_ends.hpp>
#include <report/statistics.hpp>
#include <running/crowd.hpp>

#include "suites.hpp"

// One client, and nobody else about.

namespace bench {
namespace {

// One side of a comparison, and what its blocks brought.
struct contestant {
    crowd clients;
    std::vector<std::int64_t> all{};
    std::vector<double> p50{}, p99{};

    void run(std::int64_t times) {
        const auto o = clients.cycles(times);
        all.insert(all.end(), o.durations_ns.begin(), o.durations_ns.end());
        const auto sorted = sorted_microseconds(o.durations_ns);
        p50.push_back(percentile(sorted, 50));
        p99.push_back(percentile(sorted, 99));
    }
};

// As many cycles as make a block that is short beside what disturbs a machine, and long beside the change of sides.
std::int64_t cycles_in_a_block(crowd& clients) {
    constexpr double block_us = 5000;
    const auto first = sorted_microseconds(clients.cycles(20).durations_ns);
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(block_us / std::max(percentile(first, 50), 0.1)), 10,
                                    2000);
}

void add_figures(measurement& m, const contestant& ours, const contestant* theirs) {
    const auto sorted = sorted_microseconds(ours.all);
    const auto base = theirs ? sorted_microseconds(theirs->all) : std::vector<double>{};
    const auto add = [&](const char* name, double percent) {
        figure f{.name = name, .unit = "us", .value = percentile(sorted, percent)};
        if (theirs) f.baseline = percentile(base, percent);
        m.figures.push_back(std::move(f));
    };
    add("p50", 50);
    if (theirs) m.figures.back().ratio = ratio_of_blocks(ours.p50, theirs->p50);
    add("p90", 90);
    add("p99", 99);
    add("p99.9", 99.9);
    add("max", 100);
    m.figures.push_back({.name = "n", .unit = "", .value = static_cast<double>(sorted.size())});
    m.distributions.push_back({m.ours ? "rowlock" : m.back_end, distribution_points(sorted)});
    if (theirs) m.distributions.push_back({m.baseline, distribution_points(base)});
}

void measure(const settings& s, report& r, const std::string& url, work w, place where) {
    const auto& kind = back_end_of(url);
    measurement m{.suite = "latency",
                  .back_end = name_of(url),
                  .work = std::string{to_string(w)},
                  .clients = describe(1, where),
                  .ours = kind.library};
    const std::string lock = "latency " + m.work;
    contestant ours{crowd{{.url = url, .what = w, .lock = lock}, 1, 1, where}};
    contestant theirs{crowd{{.url = url, .who = side::baseline, .what = w, .lock = lock}, 1, 1, where}};
    const bool paired = theirs.clients.exists();
    if (paired) m.baseline = kind.baseline_name;

    const auto times = cycles_in_a_block(ours.clients);
    if (paired) (void)cycles_in_a_block(theirs.clients);
    const auto blocks = s.blocks_or(w == work::mutex || s.targets ? 40 : 20, 150);
    for (std::size_t b = 0; b < blocks; ++b) {
        s.shown->show("latency: " + title_of(m), b, blocks);
        // Who comes first changes, as the second of two may profit from the first.
        if (paired && b % 2 == 1) theirs.run(times);
        ours.run(times);
        if (paired && b % 2 == 0) theirs.run(times);
    }
    add_figures(m, ours, paired ? &theirs : nullptr);
    r.measurements.push_back(std::move(m));
}

}  // namespace

void measure_latency(const settings& s, report& r) {
    for (const auto& url : s.urls)
        for (const auto w : all_work) {
            if (!supports(url, w)) continue;
            measure(s, r, url, w, place::threads);
            if (w == work::mutex && back_end_of(url).processes && !s.targets) measure(s, r, url, w, place::processes);
        }
}

}  // namespace bench
