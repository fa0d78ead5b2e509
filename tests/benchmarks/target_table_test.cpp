// What rowlock-bench says of the library's costs: met, missed, or not sure.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <report/report.hpp>
#include <suites/target_table.hpp>

namespace {

using namespace bench;

// A cycle of advisory locks, which may take 1.05 times the baseline's.
measurement cycle(const std::string& cpus, std::optional<double> ratio,
                  std::optional<std::pair<double, double>> range = {}) {
    return {.suite = "latency",
            .back_end = "postgresql+advisory",
            .work = "mutex",
            .clients = "1 thread",
            .cpus = cpus,
            .baseline = "bare libpq",
            .figures = {{.name = "p50", .unit = "us", .value = 10, .baseline = 9.0, .ratio = ratio, .range = range}}};
}

target_row row_of(const std::string& work, std::vector<measurement> measured) {
    report r{.measurements = std::move(measured)};
    judge_targets(r);
    const auto at = std::find_if(r.targets.begin(), r.targets.end(), [&](auto& t) { return t.work == work; });
    BOOST_REQUIRE((at != r.targets.end()));
    return *at;
}
std::string verdict_on(std::vector<measurement> measured) {
    return std::string{to_string(row_of("advisory: acquire + release", std::move(measured)).outcome)};
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_sure_ratio_is_judged_by_itself) {
    BOOST_TEST(verdict_on({cycle("one CPU", 1.05, {{1.0, 1.1}})}) == "met");
    BOOST_TEST(verdict_on({cycle("one CPU", 1.051, {{1.0, 1.1}})}) == "missed");
}

BOOST_AUTO_TEST_CASE(a_range_is_met_or_missed_only_as_a_whole) {
    BOOST_TEST(verdict_on({cycle("one CPU", {}, {{0.8, 1.05}})}) == "met");
    BOOST_TEST(verdict_on({cycle("one CPU", {}, {{0.8, 1.06}})}) == "not sure");
    BOOST_TEST(verdict_on({cycle("one CPU", {}, {{1.05, 1.3}})}) == "not sure");
    BOOST_TEST(verdict_on({cycle("one CPU", {}, {{1.06, 1.3}})}) == "missed");
}

BOOST_AUTO_TEST_CASE(a_target_must_be_met_under_each_placement) {
    const auto met = cycle("one CPU", 1.0), missed = cycle("two CPUs", 1.2),
               unsure = cycle("any CPU", {}, {{0.9, 1.2}});
    BOOST_TEST(verdict_on({met, met}) == "met");
    BOOST_TEST(verdict_on({met, missed}) == "missed");
    BOOST_TEST(verdict_on({met, unsure}) == "not sure");
    BOOST_TEST(verdict_on({unsure, met}) == "not sure");
    BOOST_TEST(verdict_on({unsure, missed}) == "missed");
    BOOST_TEST(verdict_on({missed, unsure}) == "missed");
    BOOST_TEST(row_of("advisory: acquire + release", {met, missed}).values.size() == 2);
}

BOOST_AUTO_TEST_CASE(a_bound_may_be_the_least) {
    auto m = cycle("one CPU", {}, {{0.9, 1.2}});
    m.suite = "contention", m.work = "8 locks", m.clients = "8 threads";
    m.figures.front().name = "throughput";
    const auto verdict = [&] { return row_of("advisory, 8 free connections: throughput", {m}).outcome; };
    BOOST_TEST((verdict() == verdict::not_sure));
    m.figures.front().range = {0.95, 1.2};
    BOOST_TEST((verdict() == verdict::met));
    m.figures.front().range = {0.8, 0.94};
    BOOST_TEST((verdict() == verdict::missed));
}

BOOST_AUTO_TEST_CASE(a_count_is_judged_by_its_value) {
    measurement held{.suite = "scale",
                     .back_end = "postgresql+lease",
                     .work = "held",
                     .clients = "10000 locks",
                     .figures = {{.name = "connections", .unit = "", .value = 2}}};
    const auto row = row_of("lease, 10,000 locks held: connections", {held});
    BOOST_TEST((row.outcome == verdict::missed));
    BOOST_TEST(row.bound == "at most 1");
    held.figures.front().value = 1;
    BOOST_TEST((row_of(row.work, {held}).outcome == verdict::met));
}

BOOST_AUTO_TEST_CASE(what_was_not_measured_is_listed_with_the_reason) {
    BOOST_TEST(verdict_on({}) == "not measured");
    BOOST_TEST(verdict_on({cycle("one CPU", {})}) == "not measured");
    const auto applock = row_of("applock: acquire + release", {});
    BOOST_TEST((applock.outcome == verdict::not_measured));
    BOOST_TEST(applock.note.find("ROWLOCK_TEST_SQLSERVER") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_server_that_nobody_placed_is_said_to_be_so) {
    auto m = cycle("server not pinned", 0.72);
    m.back_end = "sqlserver+applock", m.baseline = "bare ODBC";
    const auto note = row_of("applock: acquire + release", {m}).note;
    BOOST_TEST(note.find("where its owner put it") != std::string::npos);
}
