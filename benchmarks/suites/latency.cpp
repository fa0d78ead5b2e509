#include <algorithm>
#include <string>
#include <vector>

#include <contenders/back_ends.hpp>
#include <report/statistics.hpp>
#include <running/crowd.hpp>

#include "rows.hpp"
#include "suites.hpp"

// One client, and nobody else about.

namespace bench {
namespace {

using namespace std::chrono_literals;

// What the blocks of one side brought.
struct series {
    std::vector<std::int64_t> all{};
    std::vector<double> p50{};  // of each block of a pass

    void run(crowd& c, std::int64_t times) {
        const auto o = c.cycles(times);
        all.insert(all.end(), o.durations_ns.begin(), o.durations_ns.end());
        p50.push_back(percentile(sorted_microseconds(o.durations_ns), 50));
    }
};

constexpr std::size_t fewest = 6;  // pairs of blocks in a pass, however slow the disk is

// As many cycles as make a block that is short beside what disturbs a machine, and long beside the change of sides.
std::int64_t cycles_in_a_block(crowd& clients) {
    constexpr double block_us = 2500;
    const auto first = sorted_microseconds(clients.cycles(10).durations_ns);
    return std::clamp<std::int64_t>(static_cast<std::int64_t>(block_us / std::max(percentile(first, 50), 0.1)), 5,
                                    2000);
}

// One row of the table. It is measured in several passes over all rows, each with new connections: what memory or what
// session a connection happened to get lasts as long as it does.
class row {
public:
    row(const settings& s, std::string url, work w, place where, placement cpus)
        : url_{std::move(url)}, work_{w}, where_{where}, cpus_{cpus}, time_{s.quick ? 45ms : 150ms}, placer_{*s.cpus} {
        const auto& kind = back_end_of(url_);
        m_ = {.suite = "latency",
              .back_end = name_of(url_),
              .work = std::string{to_string(w)},
              .clients = describe(1, where),
              .cpus = std::string{to_string(cpus)},
              .ours = kind.library};
    }

    [[nodiscard]] std::string title() const { return title_of(m_); }
    [[nodiscard]] placement cpus() const noexcept { return cpus_; }

    [[nodiscard]] bool paired() const noexcept { return paired_; }
    [[nodiscard]] bool sure() const {
        const auto r = estimate(ratios_);
        return r && r->sure();
    }

    void pass() {
        placer_.place(cpus_, url_);
        client_spec spec{.url = url_, .what = work_, .lock = "latency " + m_.work};
        crowd ours{spec, 1, 1, where_, placer_};
        spec.who = side::baseline;
        crowd theirs{spec, 1, 1, where_, placer_};
        paired_ = theirs.exists();
        const auto times = cycles_in_a_block(ours);
        if (paired_) (void)cycles_in_a_block(theirs);
        ours_.p50.clear(), theirs_.p50.clear();
        const auto until = now() + time_;
        while (ours_.p50.size() < fewest || now() < until)
            take_turns(paired_ ? 2 : 1, 2,
                       [&](std::size_t i) { i == 0 ? ours_.run(ours, times) : theirs_.run(theirs, times); });
        if (const auto r = ratio_of_blocks(ours_.p50, theirs_.p50)) ratios_.push_back(*r);
    }

    measurement result() {
        if (paired_) m_.baseline = back_end_of(url_).baseline_name;
        const auto sorted = sorted_microseconds(ours_.all), base = sorted_microseconds(theirs_.all);
        const auto add = [&](const char* name, double percent) {
            m_.figures.push_back({.name = name, .unit = "us", .value = percentile(sorted, percent)});
            if (paired_) m_.figures.back().baseline = percentile(base, percent);
        };
        add("p50", 50);
        if (paired_) set_ratio(m_.figures.back(), estimate(ratios_));
        add("p90", 90);
        add("p99", 99);
        add("p99.9", 99.9);
        add("max", 100);
        m_.figures.push_back({.name = "n", .unit = "", .value = static_cast<double>(sorted.size())});
        if (paired_) m_.figures.back().baseline = static_cast<double>(base.size());
        m_.distributions.push_back({m_.ours ? "rowlock" : m_.back_end, distribution_points(sorted)});
        if (paired_) m_.distributions.push_back({m_.baseline, distribution_points(base)});
        return m_;
    }

private:
    const std::string url_;
    const work work_;
    const place where_;
    const placement cpus_;
    const nanoseconds time_;  // of one pass
    placer& placer_;
    measurement m_;
    bool paired_ = false;
    series ours_, theirs_;
    std::vector<double> ratios_;  // of each pass
};

bool is_wanted(const settings& s, const std::string& url, work w, place where) {
    const auto& kind = back_end_of(url);
    if (!supports(url, w)) return false;
    if (where == place::processes) return w == work::mutex && kind.processes && !s.targets;
    const bool in_a_target = kind.library && kind.processes &&
                             (w == work::mutex || w == work::timed || w == work::borrowed || w == work::busy);
    return !s.targets || in_a_target;
}

std::vector<row> rows_of(const settings& s) {
    std::vector<row> rows;
    for (const auto& url : s.urls)
        for (const auto w : all_work)
            for (const auto where : {place::threads, place::processes}) {
                if (!is_wanted(s, url, w, where)) continue;
                for (const auto cpus : s.cpus->placements(url, false)) rows.emplace_back(s, url, w, where, cpus);
            }
    return rows;
}

}  // namespace

void measure_latency(const settings& s, report& r) {
    auto rows = rows_of(s);
    measure_rows(rows, s, "latency", {.least = s.quick ? 6U : 12U, .time = s.quick ? 30s : 300s});
    for (auto& row : rows) r.measurements.push_back(row.result());
}

}  // namespace bench
