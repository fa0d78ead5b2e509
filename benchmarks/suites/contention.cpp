#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <contenders/back_ends.hpp>
#include <report/statistics.hpp>
#include <running/crowd.hpp>

#include "rows.hpp"
#include "suites.hpp"

// Several clients at once, on one lock or on several.

namespace bench {
namespace {

using namespace std::chrono_literals;

// What the blocks of one side brought.
struct contestant {
    std::vector<std::vector<std::int64_t>> hand_overs{};  // of each block
    std::vector<std::int64_t> waits{};
    std::vector<double> per_second{};
    std::vector<std::size_t> shares{};

    void add(const std::vector<outcome>& all, nanoseconds turn) {
        shares.resize(all.size());
        auto& block = hand_overs.emplace_back();
        std::size_t grants = 0;
        for (std::size_t i = 0; i < all.size(); ++i) {
            waits.insert(waits.end(), all[i].durations_ns.begin(), all[i].durations_ns.end());
            block.insert(block.end(), all[i].hand_overs_ns.begin(), all[i].hand_overs_ns.end());
            shares[i] += all[i].durations_ns.size();
            grants += all[i].durations_ns.size();
        }
        per_second.push_back(static_cast<double>(grants) / std::chrono::duration<double>{turn}.count());
    }
    [[nodiscard]] std::vector<double> all_hand_overs() const {
        std::vector<std::int64_t> all;
        for (const auto& block : hand_overs) all.insert(all.end(), block.begin(), block.end());
        return sorted_microseconds(all);
    }
    [[nodiscard]] std::vector<double> all_waits() const { return sorted_microseconds(waits); }
    [[nodiscard]] double grants() const {
        return static_cast<double>(std::accumulate(shares.begin(), shares.end(), std::size_t{0}));
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

void add_hand_overs(measurement& m, const contestant& ours, const contestant* theirs) {
    for (const double percent : {50, 99}) {
        const auto name = fmt::format("hand-over p{}", percent);
        add(m, name.c_str(), "us", ours, theirs,
            [&](const contestant& c) { return percentile(c.all_hand_overs(), percent); });
        if (!theirs) continue;
        const auto ratio = ratio_of_percentiles(ours.hand_overs, theirs->hand_overs, percent);
        set_ratio(m.figures.back(), ratio);
        if (!ratio) m.note += fmt::format("Too few hand-overs for a ratio of their p{}. ", percent);
    }
}

void add_figures(measurement& m, const contestant& ours, const contestant* theirs, bool shared_lock) {
    add(m, "throughput", "/s", ours, theirs, [](const contestant& c) { return median(c.per_second); });
    if (theirs) set_ratio(m.figures.back(), ratio_of_blocks(ours.per_second, theirs->per_second));
    if (shared_lock) add_hand_overs(m, ours, theirs);
    add(m, "wait p50", "us", ours, theirs, [](const contestant& c) { return percentile(c.all_waits(), 50); });
    add(m, "wait p99", "us", ours, theirs, [](const contestant& c) { return percentile(c.all_waits(), 99); });
    add(m, "wait max", "us", ours, theirs, [](const contestant& c) { return percentile(c.all_waits(), 100); });
    if (shared_lock) add(m, "fairness", "", ours, theirs, [](const contestant& c) { return fairness(c.shares); });
    add(m, "n", "", ours, theirs, [](const contestant& c) { return c.grants(); });
    const auto points = [&](const contestant& c) {
        return distribution_points(shared_lock ? c.all_hand_overs() : c.all_waits());
    };
    m.distributions.push_back({m.ours ? "rowlock" : m.back_end, points(ours)});
    if (theirs) m.distributions.push_back({m.baseline, points(*theirs)});
}

// How long a contest lasts: until there are so many grants, within limits.
constexpr double grants_in_a_turn = 400;
constexpr nanoseconds shortest_turn = 100ms, longest_turn = 500ms, longest_quick_turn = 300ms;

// One row of the table, measured in several passes over all rows; see latency.cpp for why.
class row {
public:
    row(const settings& s, std::string url, place where, std::size_t locks, placement cpus)
        : url_{std::move(url)},
          where_{where},
          cpus_{cpus},
          clients_{s.clients},
          locks_{locks},
          hold_{locks == s.locks ? s.hold : 0ns},
          think_{s.think},
          longest_{s.quick ? longest_quick_turn : longest_turn} {
        const auto& kind = back_end_of(url_);
        m_ = {.suite = "contention",
              .back_end = name_of(url_),
              .work = locks == 1 ? "one lock" : fmt::format("{} locks", locks),
              .clients = describe(clients_, where),
              .cpus = std::string{to_string(cpus)},
              .ours = kind.library};
    }

    [[nodiscard]] std::string title() const { return title_of(m_); }
    [[nodiscard]] placement cpus() const noexcept { return cpus_; }

    void pass(placer& cpus, std::size_t blocks) {
        cpus.place(cpus_, url_);
        std::array<std::unique_ptr<crowd>, sides.size()> crowds;
        nanoseconds turn = shortest_turn;
        for (std::size_t i = 0; i < sides.size(); ++i) {
            if (sides.at(i) == side::polling && locks_ > 1) continue;
            const client_spec spec{
                .url = url_, .who = sides.at(i), .lock = "contention", .contended = locks_ < clients_};
            auto c = std::make_unique<crowd>(spec, clients_, locks_, where_, cpus);
            if (!c->exists()) continue;
            exists_.at(i) = true;
            turn = std::max(turn, enough_for(*c));
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
    // Finds out in a contest that warms up.
    nanoseconds enough_for(crowd& c) const {
        constexpr nanoseconds warm_up = 50ms;
        double grants = 0;
        for (const auto& o : c.contest(warm_up, hold_, think_)) grants += static_cast<double>(o.durations_ns.size());
        const std::chrono::duration<double> each = warm_up / std::max(grants, 1.0);
        return std::min(longest_, std::chrono::duration_cast<nanoseconds>(grants_in_a_turn * each));
    }

    static constexpr std::array sides{side::rowlock, side::baseline, side::polling};

    const std::string url_;
    const place where_;
    const placement cpus_;
    const std::size_t clients_, locks_;
    const nanoseconds hold_, think_, longest_;
    measurement m_;
    std::array<bool, sides.size()> exists_{};
    std::array<contestant, sides.size()> results_;
};

}  // namespace

void measure_contention(const settings& s, report& r) {
    std::vector<row> rows;
    for (const auto& url : s.urls) {
        const auto& kind = back_end_of(url);
        if (s.targets && !(kind.library && kind.server)) continue;  // no target asks for it
        for (const auto cpus : s.cpus->placements(url, true)) {
            rows.emplace_back(s, url, place::threads, s.locks, cpus);
            if (kind.processes && !s.quick && !s.targets) rows.emplace_back(s, url, place::processes, s.locks, cpus);
            // A lock for each: what they lose by being several.
            if (s.locks == 1) rows.emplace_back(s, url, place::threads, s.clients, cpus);
        }
    }
    const auto blocks = s.blocks_or(3, 4);
    const std::size_t passes = s.quick ? 2 : 10;
    const auto order = in_order_of_placement(rows);
    for (std::size_t pass = 0; pass < passes; ++pass)
        for (std::size_t i = 0; i < order.size(); ++i) {
            s.shown->show("contention: " + order[i]->title(), pass * order.size() + i, passes * order.size());
            order[i]->pass(*s.cpus, blocks);
        }
    for (const auto& row : rows) row.add_to(r);
}

}  // namespace bench
