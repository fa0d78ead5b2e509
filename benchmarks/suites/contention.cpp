#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
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

// What the contests of one side brought.
struct contestant {
    std::vector<std::vector<std::int64_t>> hand_overs{};  // of each pass
    std::vector<std::int64_t> waits{};
    std::vector<double> per_second{};   // of each pass
    std::vector<std::size_t> shares{};  // of all passes

    void begin_pass() {
        hand_overs.emplace_back();
        grants_ = 0, time_ = {};
    }
    void add(const crowd::contest_outcome& contest) {
        shares.resize(contest.all.size());
        std::vector<std::vector<std::int64_t>> grants;
        for (const auto& o : contest.all) {
            waits.insert(waits.end(), o.durations_ns.begin(), o.durations_ns.end());
            hand_overs.back().insert(hand_overs.back().end(), o.hand_overs_ns.begin(), o.hand_overs_ns.end());
            grants_ += o.granted_at_ns.size();
            grants.push_back(o.granted_at_ns);
        }
        const auto rounds = shares_of(grants);
        for (std::size_t i = 0; i < rounds.size(); ++i) shares[i] += rounds[i];
        time_ += contest.lasted;
    }
    void end_pass() {
        per_second.push_back(static_cast<double>(grants_) / std::chrono::duration<double>{time_}.count());
        all_grants_ += grants_;
    }
    [[nodiscard]] std::vector<double> all_hand_overs() const {
        std::vector<std::int64_t> all;
        for (const auto& pass : hand_overs) all.insert(all.end(), pass.begin(), pass.end());
        return sorted_microseconds(all);
    }
    [[nodiscard]] std::vector<double> all_waits() const { return sorted_microseconds(waits); }
    [[nodiscard]] double grants() const { return static_cast<double>(all_grants_); }

private:
    std::size_t grants_ = 0, all_grants_ = 0;
    nanoseconds time_{};
};

std::optional<ratio_estimate> ratio_of_throughput(const contestant& ours, const contestant& theirs) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < std::min(ours.per_second.size(), theirs.per_second.size()); ++i)
        if (const auto r = ratio_of_blocks({&ours.per_second[i], 1}, {&theirs.per_second[i], 1})) ratios.push_back(*r);
    return estimate(std::move(ratios));
}

std::optional<ratio_estimate> ratio_of_hand_overs(const contestant& ours, const contestant& theirs, double percent) {
    return ratio_of_percentiles(ours.hand_overs, theirs.hand_overs, percent);
}

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
        const auto ratio = ratio_of_hand_overs(ours, *theirs, percent);
        set_ratio(m.figures.back(), ratio);
        if (!ratio || !ratio->range)
            m.note += fmt::format("Too few passes or hand-overs for a ratio of their p{}. ", percent);
    }
}

void add_figures(measurement& m, const contestant& ours, const contestant* theirs, bool shared_lock) {
    add(m, "throughput", "/s", ours, theirs, [](const contestant& c) { return median(c.per_second); });
    if (theirs) set_ratio(m.figures.back(), ratio_of_throughput(ours, *theirs));
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

// Each client must have run its statements more often than the five times that PostgreSQL plans them anew.
constexpr nanoseconds warm_up = 100ms;

// How long a contest lasts. By the clock, so that who is slower has the same time on the machine as it is then.
constexpr nanoseconds quick_turn = 100ms, full_turn = 200ms;

// One row of the table, measured in several passes over all rows, each with new connections; see latency.cpp for why.
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
          turn_{s.quick ? quick_turn : full_turn},
          rounds_{s.quick ? 2U : 6U},
          placer_{*s.cpus} {
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

    [[nodiscard]] bool paired() const noexcept { return exists_[1] || exists_[2]; }
    /// Of all the ratios that it has.
    [[nodiscard]] bool sure() const {
        const auto are_sure = [&](const contestant& theirs) {
            auto all = std::vector{ratio_of_throughput(results_[0], theirs)};
            if (is_shared())
                for (const double percent : {50, 99}) all.push_back(ratio_of_hand_overs(results_[0], theirs, percent));
            return std::all_of(all.begin(), all.end(), [](const auto& r) { return r && r->sure(); });
        };
        return (!exists_[1] || are_sure(results_[1])) && (!exists_[2] || are_sure(results_[2]));
    }

    void pass() {
        placer_.place(cpus_, url_);
        std::array<std::unique_ptr<crowd>, sides.size()> crowds;
        for (std::size_t i = 0; i < sides.size(); ++i) {
            if (sides.at(i) == side::polling && !is_shared()) continue;
            const client_spec spec{.url = url_, .who = sides.at(i), .lock = "contention", .contended = is_shared()};
            auto c = std::make_unique<crowd>(spec, clients_, locks_, where_, placer_);
            if (!c->exists()) continue;
            exists_.at(i) = true;
            (void)c->contest(warm_up, hold_, think_);
            results_.at(i).begin_pass();
            crowds.at(i) = std::move(c);
        }
        take_turns(sides.size(), rounds_, [&](std::size_t i) {
            if (auto& c = crowds.at(i)) results_.at(i).add(c->contest(turn_, hold_, think_));
        });
        for (std::size_t i = 0; i < sides.size(); ++i)
            if (crowds.at(i)) results_.at(i).end_pass();
    }

    void add_to(report& r) const {
        const bool shared_lock = is_shared();
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
    // Whether clients want the same lock; a baseline must then be able to wait.
    [[nodiscard]] bool is_shared() const noexcept { return locks_ < clients_; }

    static constexpr std::array sides{side::rowlock, side::baseline, side::polling};

    const std::string url_;
    const place where_;
    const placement cpus_;
    const std::size_t clients_, locks_;
    const nanoseconds hold_, think_, turn_;
    const std::size_t rounds_;  // in a pass
    placer& placer_;
    measurement m_;
    std::array<bool, sides.size()> exists_{};
    std::array<contestant, sides.size()> results_;
};

}  // namespace

void measure_contention(const settings& s, report& r) {
    std::vector<row> rows;
    for (const auto& url : s.urls) {
        const auto& kind = back_end_of(url);
        if (s.targets && !name_of(url).starts_with("postgresql")) continue;  // no target asks for it
        for (const auto cpus : s.cpus->placements(url, true)) {
            rows.emplace_back(s, url, place::threads, s.locks, cpus);
            if (kind.processes && !s.quick && !s.targets) rows.emplace_back(s, url, place::processes, s.locks, cpus);
            // A lock for each: what they lose by being several.
            if (s.locks == 1) rows.emplace_back(s, url, place::threads, s.clients, cpus);
        }
    }
    measure_rows(rows, s, "contention", {.least = s.quick ? 6U : 9U, .time = s.quick ? 60s : 720s});
    for (const auto& row : rows) row.add_to(r);
}

}  // namespace bench
