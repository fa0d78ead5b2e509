#include <array>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <contenders/back_ends.hpp>
#include <report/statistics.hpp>
#include <running/crowd.hpp>

#include "suites.hpp"

// Several clients at once, on one lock or on several.

namespace bench {
namespace {

using namespace std::chrono_literals;

struct contestant {
    contestant(const client_spec& c, std::size_t count, std::size_t locks, place where)
        : clients{c, count, locks, where} {}

    crowd clients;
    std::vector<std::int64_t> hand_overs{}, waits{};
    std::vector<double> per_second{}, hand_over_p50{}, hand_over_p99{};
    std::vector<std::size_t> shares{};

    void run(const settings& s, nanoseconds turn, bool counts) {
        const auto all = clients.contest(turn, s.hold, s.think);
        if (!counts) return;
        shares.resize(all.size());
        std::vector<std::int64_t> now;
        std::size_t grants = 0;
        for (std::size_t i = 0; i < all.size(); ++i) {
            waits.insert(waits.end(), all[i].durations_ns.begin(), all[i].durations_ns.end());
            now.insert(now.end(), all[i].hand_overs_ns.begin(), all[i].hand_overs_ns.end());
            shares[i] += all[i].durations_ns.size();
            grants += all[i].durations_ns.size();
        }
        hand_overs.insert(hand_overs.end(), now.begin(), now.end());
        const auto sorted = sorted_microseconds(now);
        hand_over_p50.push_back(percentile(sorted, 50));
        hand_over_p99.push_back(percentile(sorted, 99));
        per_second.push_back(static_cast<double>(grants) / std::chrono::duration<double>{turn}.count());
    }
};

// Adds one figure, of both sides where there are two.
template <class Value>
void add(measurement& m, const char* name, const char* unit, const contestant& ours, const contestant* theirs,
         Value value) {
    figure f{.name = name, .unit = unit, .value = value(ours)};
    if (theirs) f.baseline = value(*theirs);
    m.figures.push_back(std::move(f));
}

void add_figures(measurement& m, const contestant& ours, const contestant* theirs, bool shared_lock) {
    const auto ratio = [&](const std::vector<double> contestant::*blocks) {
        if (theirs) m.figures.back().ratio = ratio_of_blocks(ours.*blocks, theirs->*blocks);
    };
    add(m, "throughput", "/s", ours, theirs, [](const contestant& c) { return median(c.per_second); });
    ratio(&contestant::per_second);
    const auto percentiles = [&](const char* name, const char* name_99, auto member, bool ratios) {
        const auto at = [member](double percent) {
            return
                [member, percent](const contestant& c) { return percentile(sorted_microseconds(c.*member), percent); };
        };
        add(m, name, "us", ours, theirs, at(50));
        if (ratios) ratio(&contestant::hand_over_p50);
        add(m, name_99, "us", ours, theirs, at(99));
        if (ratios) ratio(&contestant::hand_over_p99);
    };
    if (shared_lock) percentiles("hand-over p50", "hand-over p99", &contestant::hand_overs, true);
    percentiles("wait p50", "wait p99", &contestant::waits, false);
    add(m, "wait max", "us", ours, theirs,
        [](const contestant& c) { return percentile(sorted_microseconds(c.waits), 100); });
    if (shared_lock) add(m, "fairness", "", ours, theirs, [](const contestant& c) { return fairness(c.shares); });
    const auto points = [&](const contestant& c) {
        return distribution_points(sorted_microseconds(shared_lock ? c.hand_overs : c.waits));
    };
    m.distributions.push_back({m.ours ? "rowlock" : m.back_end, points(ours)});
    if (theirs) m.distributions.push_back({m.baseline, points(*theirs)});
}

void measure(const settings& s, report& r, const std::string& url, place where) {
    const auto& kind = back_end_of(url);
    const auto locks = s.locks;
    measurement m{.suite = "contention",
                  .back_end = name_of(url),
                  .work = locks == 1 ? "one lock" : fmt::format("{} locks", locks),
                  .clients = describe(s.clients, where),
                  .ours = kind.library};
    const auto make = [&](side who) {
        return std::make_unique<contestant>(
            client_spec{.url = url, .who = who, .lock = "contention", .contended = true}, s.clients, locks, where);
    };
    std::vector<std::unique_ptr<contestant>> all;
    for (const auto who : {side::rowlock, side::baseline, side::polling}) {
        if (who == side::polling && locks > 1) continue;
        auto c = make(who);
        all.push_back(c->clients.exists() ? std::move(c) : nullptr);
    }
    all.resize(3);
    const std::string polling = fmt::format("{}, polling every 1 ms", kind.baseline_name);
    if (all[1]) m.baseline = kind.baseline_name;
    if (!all[1] && all[2]) {
        m.baseline = polling;
        std::swap(all[1], all[2]);
    }

    const nanoseconds turn = s.quick ? 150ms : 250ms;
    const auto blocks = s.blocks_or(s.targets ? 12 : 8, 40);
    for (std::size_t b = 0; b <= blocks; ++b) {
        s.shown->show("contention: " + title_of(m), b, blocks);
        // The first block warms up. Who comes first changes.
        for (std::size_t i = 0; i < all.size(); ++i)
            if (auto& c = all[(i + b) % all.size()]) c->run(s, turn, b > 0);
    }
    add_figures(m, *all[0], all[1].get(), locks < s.clients);
    r.measurements.push_back(m);
    if (!all[2]) return;
    measurement polled{.suite = m.suite,
                       .back_end = m.back_end,
                       .work = m.work + ", beside polling",
                       .clients = m.clients,
                       .baseline = polling};
    add_figures(polled, *all[0], all[2].get(), true);
    r.measurements.push_back(std::move(polled));
}

}  // namespace

void measure_contention(const settings& s, report& r) {
    for (const auto& url : s.urls) {
        measure(s, r, url, place::threads);
        if (back_end_of(url).processes && !s.targets) measure(s, r, url, place::processes);
        if (s.locks > 1) continue;
        auto free = s;
        free.locks = s.clients;
        free.hold = nanoseconds{0};
        measure(free, r, url, place::threads);
    }
}

}  // namespace bench
