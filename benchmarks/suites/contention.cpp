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

// What the blocks of one side brought.
struct contestant {
    std::vector<std::int64_t> hand_overs{}, waits{};
    std::vector<double> per_second{}, hand_over_p50{}, hand_over_p99{};
    std::vector<std::size_t> shares{};

    void add(const std::vector<outcome>& all, nanoseconds turn) {
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

// One row of the table, measured in several passes over all rows; see latency.cpp for why.
class row {
public:
    row(std::string url, place where, std::size_t clients, std::size_t locks, nanoseconds hold, nanoseconds think)
        : url_{std::move(url)}, where_{where}, clients_{clients}, locks_{locks}, hold_{hold}, think_{think} {
        const auto& kind = back_end_of(url_);
        m_ = {.suite = "contention",
              .back_end = name_of(url_),
              .work = locks == 1 ? "one lock" : fmt::format("{} locks", locks),
              .clients = describe(clients, where),
              .ours = kind.library};
    }

    [[nodiscard]] std::string title() const { return title_of(m_); }

    void pass(std::size_t blocks, nanoseconds turn) {
        std::array<std::unique_ptr<crowd>, sides.size()> crowds;
        for (std::size_t i = 0; i < sides.size(); ++i) {
            if (sides.at(i) == side::polling && locks_ > 1) continue;
            const client_spec spec{.url = url_, .who = sides.at(i), .lock = "contention", .contended = true};
            auto c = std::make_unique<crowd>(spec, clients_, locks_, where_);
            if (!c->exists()) continue;
            exists_.at(i) = true;
            (void)c->contest(turn / 5, hold_, think_);  // warms up
            crowds.at(i) = std::move(c);
        }
        for (std::size_t b = 0; b < blocks; ++b)
            for (std::size_t i = 0; i < sides.size(); ++i) {
                const auto which = (i + b) % sides.size();  // who comes first changes
                if (auto& c = crowds.at(which)) results_.at(which).add(c->contest(turn, hold_, think_), turn);
            }
    }

    void add_to(report& r) const {
        const bool shared_lock = locks_ < clients_;
        auto m = m_;
        if (exists_[1]) m.baseline = back_end_of(url_).baseline_name;
        add_figures(m, results_[0], exists_[1] ? &results_[1] : nullptr, shared_lock);
        r.measurements.push_back(std::move(m));
        if (!exists_[2]) return;
        auto polled = m_;
        polled.work += ", beside polling";
        polled.baseline = std::string{back_end_of(url_).baseline_name} + ", polling every 1 ms";
        add_figures(polled, results_[0], &results_[2], shared_lock);
        r.measurements.push_back(std::move(polled));
    }

private:
    static constexpr std::array sides{side::rowlock, side::baseline, side::polling};

    const std::string url_;
    const place where_;
    const std::size_t clients_, locks_;
    const nanoseconds hold_, think_;
    measurement m_;
    std::array<bool, sides.size()> exists_{};
    std::array<contestant, sides.size()> results_;
};

}  // namespace

void measure_contention(const settings& s, report& r) {
    std::vector<row> rows;
    for (const auto& url : s.urls) {
        rows.emplace_back(url, place::threads, s.clients, s.locks, s.hold, s.think);
        if (back_end_of(url).processes && !s.targets)
            rows.emplace_back(url, place::processes, s.clients, s.locks, s.hold, s.think);
        // A lock for each: what they lose by being several.
        if (s.locks == 1) rows.emplace_back(url, place::threads, s.clients, s.clients, nanoseconds{0}, s.think);
    }
    const auto blocks = s.blocks_or(2, 4);
    const std::size_t passes = s.quick ? 3 : 12;
    for (std::size_t pass = 0; pass < passes; ++pass)
        for (std::size_t i = 0; i < rows.size(); ++i) {
            s.shown->show("contention: " + rows[i].title(), pass * rows.size() + i, passes * rows.size());
            rows[i].pass(blocks, s.quick ? 150ms : 250ms);
        }
    for (const auto& row : rows) row.add_to(r);
}

}  // namespace bench
