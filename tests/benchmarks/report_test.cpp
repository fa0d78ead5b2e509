// What the reports of rowlock-bench are made of: statistics, JSON, the comparison of two, tables and the page.

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <report/charts.hpp>
#include <report/compare.hpp>
#include <report/html.hpp>
#include <report/json.hpp>
#include <report/report.hpp>
#include <report/results.hpp>
#include <report/statistics.hpp>
#include <report/table.hpp>

namespace {

using namespace bench;

report example() {
    measurement m{.suite = "latency",
                  .back_end = "postgresql+lease",
                  .work = "mutex",
                  .clients = "1 thread",
                  .cpus = "two CPUs",
                  .baseline = "bare libpq",
                  .note = "a note"};
    m.figures = {{.name = "p50", .unit = "us", .value = 12.5, .baseline = 10.0, .ratio = 1.25, .range = {{1.2, 1.35}}},
                 {.name = "p99", .unit = "us", .value = 90, .baseline = 70.0, .range = {{0.86, 1.12}}},
                 {.name = "n", .unit = "", .value = 400}};
    m.distributions = {{"rowlock", {{10, 0}, {12.5, 0.5}, {90, 1}}}, {"bare libpq", {{8, 0}, {10, 0.5}, {70, 1}}}};
    report r{.about = {{"machine", "a test"}}, .measurements = {m}};
    r.targets = {{.work = "lease",
                  .bound = "at most 1.05 x",
                  .values = {{"one CPU", 1.02, {{1.01, 1.03}}}, {"two CPUs", 1.25, {{1.2, 1.35}}}},
                  .outcome = verdict::missed},
                 {.work = "hand-over",
                  .bound = "at most 1.1 x",
                  .values = {{"one CPU", {}, {{0.86, 1.12}}}},
                  .outcome = verdict::not_sure},
                 {.work = "sends", .bound = "at most 2", .values = {{"", 2}}, .outcome = verdict::met},
                 {.work = "applock", .bound = "at most 1.05 x", .note = "needs a server"}};
    return r;
}

report with_ratio(double ratio) {
    auto r = example();
    r.measurements.front().figures.front().ratio = ratio;
    return r;
}

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t n = 0;
    for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_percentile_is_the_nearest_rank) {
    const std::vector<double> ten{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    BOOST_TEST(percentile(ten, 0) == 1);
    BOOST_TEST(percentile(ten, 50) == 5);
    BOOST_TEST(percentile(ten, 51) == 6);
    BOOST_TEST(percentile(ten, 90) == 9);
    BOOST_TEST(percentile(ten, 99.9) == 10);
    BOOST_TEST(percentile(ten, 100) == 10);
    BOOST_TEST(percentile(std::vector<double>{7}, 50) == 7);
    BOOST_TEST(percentile({}, 50) == 0);
}

BOOST_AUTO_TEST_CASE(a_median_needs_no_order) {
    BOOST_TEST(median({3, 1, 2}) == 2);
    BOOST_TEST(median({4, 1, 3, 2}) == 2.5);
    BOOST_TEST(median({}) == 0);
}

BOOST_AUTO_TEST_CASE(a_ratio_is_the_median_of_blocks_so_one_disturbed_block_does_not_count) {
    BOOST_TEST(ratio_of_blocks(std::vector<double>{2, 2, 200}, std::vector<double>{1, 1, 1}).value() == 2);
    // What disturbs both alike does not count either.
    BOOST_TEST(ratio_of_blocks(std::vector<double>{2, 20, 200}, std::vector<double>{1, 10, 100}).value() == 2);
    BOOST_TEST(!ratio_of_blocks({}, {}));
}

BOOST_AUTO_TEST_CASE(a_block_in_which_one_side_did_nothing_counts_as_what_it_is) {
    BOOST_TEST(ratio_of_blocks(std::vector<double>{2, 0, 2, 4, 2}, std::vector<double>{1, 1, 0, 1, 1}).value() == 2);
    BOOST_TEST(ratio_of_blocks(std::vector<double>{0, 0, 2}, std::vector<double>{1, 1, 1}).value() == 0);
    const auto endless = ratio_of_blocks(std::vector<double>{2, 2, 2}, std::vector<double>{1, 0, 0}).value();
    BOOST_TEST(std::isinf(endless));
    BOOST_TEST(!estimate({1, endless, endless}));
    // It is a range that no ratio can be sure of.
    const auto e = estimate({1, 1, 1, 1, 1, endless});
    BOOST_TEST(e->value == 1);
    BOOST_TEST(!e->sure());
}

BOOST_AUTO_TEST_CASE(the_range_of_a_median_is_that_of_its_ranks_and_exact) {
    const auto ranks = [](std::size_t n) {
        std::vector<double> values;
        for (std::size_t i = n; i > 0; --i) values.push_back(static_cast<double>(i));
        return median_range(values);
    };
    // From tables of the sign test: how many of n may be on one side with a chance of 2.5 % or less.
    for (std::size_t n = 0; n < 6; ++n) BOOST_TEST(!ranks(n));
    const std::vector<std::pair<std::size_t, double>> lower{{6, 1},  {8, 1},  {9, 2},   {11, 2},
                                                            {12, 3}, {20, 6}, {100, 40}};
    for (const auto& [n, rank] : lower) {
        BOOST_TEST_CONTEXT(n << " values") {
            BOOST_TEST(ranks(n)->first == rank);
            BOOST_TEST(ranks(n)->second == static_cast<double>(n) + 1 - rank);
        }
    }
    // Also where the parts of the sum are too small for a number: 5000 - 1.96 * 50, about.
    BOOST_TEST(std::abs(ranks(10000)->first - 4902) <= 2);
}

BOOST_AUTO_TEST_CASE(the_range_of_a_median_has_it_inside_95_times_of_100) {
    // Skewed, with a median of 1; numbers that are the same each time.
    std::minstd_rand random{42};
    std::exponential_distribution<double> skewed{std::log(2.0)};
    for (const std::size_t n : {6U, 9U, 20U}) {
        int inside = 0;
        for (int i = 0; i < 4000; ++i) {
            std::vector<double> sample;
            for (std::size_t k = 0; k < n; ++k) sample.push_back(skewed(random));
            const auto r = median_range(sample).value();
            if (r.first <= 1 && 1 <= r.second) ++inside;
        }
        BOOST_TEST(inside > 3770);  // 95 % of them, less three standard deviations
        BOOST_TEST(inside < 3960);  // of so few no range can be as sure as that
    }
}

BOOST_AUTO_TEST_CASE(a_ratio_is_sure_where_its_range_is_narrow) {
    BOOST_TEST(is_sure({1.0, 1.149}));
    BOOST_TEST(!is_sure({1.0, 1.151}));
    BOOST_TEST(is_sure({0.5, 0.57}));
    BOOST_TEST(!is_sure({0.0, 0.0}));
    BOOST_TEST(estimate(std::vector<double>(6, 1.1))->sure());
    BOOST_TEST(!estimate(std::vector<double>(5, 1.1))->sure());
    BOOST_TEST(!estimate({1, 1, 1, 1, 1, 1.2})->sure());
    // Of nine, one may be anything.
    BOOST_TEST(estimate({1, 1, 1, 1, 1, 1, 1, 1, 100})->sure());
}

BOOST_AUTO_TEST_CASE(the_ratio_of_a_percentile_needs_ten_durations_beyond_it) {
    using passes = std::vector<std::vector<std::int64_t>>;
    const auto of = [](std::int64_t each, std::size_t count) {
        return passes(count, std::vector<std::int64_t>(100, each));
    };
    BOOST_TEST(ratio_of_percentiles(of(3000, 2), of(2000, 2), 50)->value == 1.5);
    BOOST_TEST(!ratio_of_percentiles(of(3000, 9), of(2000, 9), 99));
    BOOST_TEST(ratio_of_percentiles(of(3000, 10), of(2000, 10), 99)->value == 1.5);
    // Six times ten passes are six ratios.
    BOOST_TEST(!ratio_of_percentiles(of(3000, 59), of(2000, 59), 99)->range);
    BOOST_TEST(ratio_of_percentiles(of(3000, 60), of(2000, 60), 99)->sure());
    BOOST_TEST(!ratio_of_percentiles(passes{{}, {}}, passes{{}, {}}, 50));
}

BOOST_AUTO_TEST_CASE(shares_are_counted_over_whole_rounds) {
    using grants = std::vector<std::vector<std::int64_t>>;
    using shares = std::vector<std::size_t>;
    // In order: whoever is ahead when it ends is not favored by that.
    BOOST_TEST(shares_of(grants{{1, 4, 7, 10}, {2, 5, 8, 11}, {3, 6, 9}}) == (shares{3, 3, 3}));
    BOOST_TEST(shares_of(grants{{3, 6, 9}, {1, 4, 7, 10}, {2, 5, 8}}) == (shares{3, 3, 3}));
    // Whoever is served twice as often, or not at all, is seen to be.
    BOOST_TEST(shares_of(grants{{1, 3, 5, 7, 9}, {2, 6}, {4, 8}}) == (shares{4, 2, 2}));
    BOOST_TEST(shares_of(grants{{1, 2, 3, 4}, {}}) == (shares{3, 0}));
    // Nobody's second grant is a round.
    BOOST_TEST(shares_of(grants{{1}, {2, 3, 4}}) == (shares{1, 3}));
    BOOST_TEST(shares_of(grants{{}, {}}) == (shares{0, 0}));
}

BOOST_AUTO_TEST_CASE(fairness_is_the_smallest_share_by_the_largest) {
    BOOST_TEST(fairness(std::vector<std::size_t>{50, 100, 80}) == 0.5);
    BOOST_TEST(fairness(std::vector<std::size_t>{5, 5}) == 1);
    BOOST_TEST(fairness(std::vector<std::size_t>{0, 5}) == 0);
    BOOST_TEST(fairness(std::vector<std::size_t>{0, 0}) == 0);
}

BOOST_AUTO_TEST_CASE(a_distribution_begins_at_the_least_and_ends_at_the_greatest) {
    std::vector<double> sorted;
    for (int i = 1; i <= 1000; ++i) sorted.push_back(i);
    const auto points = distribution_points(sorted);
    BOOST_TEST(points.front().first == 1);
    BOOST_TEST(points.back().first == 1000);
    BOOST_TEST(points.back().second == 1);
    BOOST_TEST(points.at(50).first == 500);
    for (std::size_t i = 1; i < points.size(); ++i) BOOST_TEST(points[i].second > points[i - 1].second);
    BOOST_TEST(distribution_points({}).empty());
}

BOOST_AUTO_TEST_CASE(a_report_survives_json) {
    const auto once = to_json(example());
    const auto again = report_in(once);
    BOOST_TEST(to_json(again) == once);
    BOOST_TEST(again.measurements.front().find("p50")->ratio.value() == 1.25);
    BOOST_TEST(again.measurements.front().find("p50")->range.value().second == 1.35);
    BOOST_TEST(!again.measurements.front().find("n")->ratio.has_value());
    BOOST_TEST(!again.measurements.front().find("n")->range.has_value());
    BOOST_TEST(again.measurements.front().find("p99")->unsure());
    BOOST_TEST(!again.measurements.front().find("p50")->unsure());
    BOOST_TEST(once.find("\"unsure\": true") != std::string::npos);
    BOOST_TEST(again.targets.front().values.at(1).value.value() == 1.25);
    BOOST_TEST(again.targets.front().values.at(1).range.value().first == 1.2);
    BOOST_TEST(!again.targets.at(1).values.at(0).value.has_value());
    BOOST_TEST((again.targets.at(1).outcome == verdict::not_sure));
    BOOST_TEST(again.measurements.front().distributions.at(1).points.at(2).first == 70);
    BOOST_TEST((again.targets.at(3).outcome == verdict::not_measured));
}

BOOST_AUTO_TEST_CASE(what_is_no_report_is_refused) {
    for (const auto* text : {"", "{}", "[]", "{\"rowlock_bench\": 2}", "{\"rowlock_bench\": 999}", "no JSON"})
        BOOST_CHECK_THROW((void)report_in(text), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(two_reports_agree_within_what_is_allowed_and_in_both_directions) {
    const auto differ = [](double a, double b) { return !compare(with_ratio(a), with_ratio(b), 0.15).agree(); };
    BOOST_TEST(!differ(1.0, 1.14));
    BOOST_TEST(!differ(1.14, 1.0));
    BOOST_TEST(differ(1.0, 1.16));
    BOOST_TEST(differ(1.16, 1.0));
    BOOST_TEST(!differ(1.0, 1.0));
}

BOOST_AUTO_TEST_CASE(a_ratio_that_only_one_report_has_is_told_but_is_no_difference) {
    report other = example();
    other.measurements.front().clients = "8 threads";
    const auto c = compare(example(), other, 0.15);
    BOOST_TEST(c.ratios.empty());
    BOOST_TEST(c.only_one.size() == 4);
    // Nothing that could agree.
    BOOST_TEST(!c.agree());
    auto both = example();
    both.measurements.push_back(other.measurements.front());
    BOOST_TEST(compare(example(), both, 0.15).agree());
}

BOOST_AUTO_TEST_CASE(what_one_of_two_reports_is_not_sure_of_is_counted_and_left_out) {
    auto unsure = example();
    auto& f = unsure.measurements.front().figures.front();
    f.ratio.reset();
    f.range = {2.0, 9.0};  // far from the other's
    for (const auto& c : {compare(example(), unsure, 0.15), compare(unsure, example(), 0.15)}) {
        BOOST_TEST(c.ratios.empty());
        BOOST_TEST(c.unsure.size() == 2);  // the p99 is so in both
        BOOST_TEST(!c.agree());            // nothing was compared
    }
    auto both = example(), other = unsure;
    auto m = both.measurements.front();
    m.work = "steady";
    both.measurements.push_back(m);
    other.measurements.push_back(m);
    const auto c = compare(both, other, 0.15);
    BOOST_TEST(c.agree());
    BOOST_TEST(to_text(c).find("1 ratio agrees within 15 %, 3 not sure in one of the runs\n") != std::string::npos);
    // A ratio that is gone is told apart from one that is not sure.
    other.measurements.front().figures.clear();
    BOOST_TEST(compare(both, other, 0.15).only_one.size() == 2);
    BOOST_TEST(compare(both, other, 0.15).unsure.size() == 1);
}

BOOST_AUTO_TEST_CASE(a_ratio_under_one_placement_is_not_compared_with_that_under_another) {
    report other = example();
    other.measurements.front().cpus = "one CPU";
    BOOST_TEST(compare(example(), other, 0.15).ratios.empty());
}

BOOST_AUTO_TEST_CASE(a_comparison_says_which_ratios_disagree_the_worst_last) {
    auto before = with_ratio(1), after = with_ratio(1.5);
    auto m = before.measurements.front();
    m.work = "steady";
    before.measurements.push_back(m);
    after.measurements.push_back(m);
    const auto text = to_text(compare(before, after, 0.15));
    const auto at = text.find("+50.0 % <-- disagree");
    BOOST_TEST(at != std::string::npos);
    BOOST_TEST(text.find("steady") < at);
    BOOST_TEST(text.find("1 ratio agrees within 15 %, 1 not, 2 not sure in one of the runs") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(times_are_not_compared) {
    auto slower = example();
    for (auto& f : slower.measurements.front().figures) f.value *= 10;
    BOOST_TEST(compare(example(), slower, 0.15).agree());
}

BOOST_AUTO_TEST_CASE(a_table_shows_the_baseline_and_the_ratio_below_each_other) {
    const auto text = to_text(example());
    BOOST_TEST(text.find("1.25 ±8 %") != std::string::npos);
    BOOST_TEST(text.find("0.86 to 1.12") != std::string::npos);
    BOOST_TEST(text.find("not sure") != std::string::npos);
    BOOST_TEST(text.find("two CPUs") != std::string::npos);
    BOOST_TEST(text.find("bare libpq") != std::string::npos);
    BOOST_TEST(text.find("missed") != std::string::npos);
    BOOST_TEST(text.find("not measured") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_has_no_baseline_is_said_to_have_none) {
    auto r = example();
    r.measurements.front().baseline.clear();
    BOOST_TEST(to_text(r).find("(no baseline)") != std::string::npos);
    r.measurements.front().ours = false;
    BOOST_TEST(to_text(r).find("(for comparison)") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_page_has_a_chart_for_each_thing_and_loads_nothing) {
    auto r = example();
    auto contended = r.measurements.front();
    contended.suite = "contention";
    contended.work = "one lock";
    contended.figures = {{.name = "hand-over p50", .unit = "us", .value = 100, .baseline = 90.0, .ratio = 1.1},
                         {.name = "hand-over p99", .unit = "us", .value = 300, .baseline = 290.0, .ratio = 1.0},
                         {.name = "fairness", .unit = "", .value = 0.97, .baseline = 0.99}};
    r.measurements.push_back(contended);
    const auto page = to_html(r);
    BOOST_TEST(count(page, "<svg ") == 5);  // ratios; distribution; hand-over, fairness, distribution
    BOOST_TEST(count(page, "</svg>") == 5);
    for (const auto* loader : {"src=", "href=", "url(", "@import", "<script", "http:", "https:"})
        BOOST_TEST(page.find(loader) == std::string::npos, loader);
    BOOST_TEST(page.find("microseconds") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(what_is_not_sure_is_a_bar_without_a_dot) {
    auto r = example();
    auto& figures = r.measurements.front().figures;
    const auto chart = [&] { return ratio_charts(r).front().svg; };
    const auto drawn = [&] { return std::pair{count(chart(), "<circle "), count(chart(), "<path ")}; };
    BOOST_TEST((drawn() == std::pair<std::size_t, std::size_t>{2, 2}));  // the dot and that of the legend; both bars
    figures.front().ratio.reset();
    BOOST_TEST((drawn() == std::pair<std::size_t, std::size_t>{1, 2}));
    // The axis is as long as the bars are.
    figures.front().range = {0.01, 100};
    BOOST_TEST(chart().find(">0.01<") != std::string::npos);
    BOOST_TEST(chart().find(">100<") != std::string::npos);
    BOOST_TEST(chart().find(">1000<") == std::string::npos);
    // Where nothing is known there is no row.
    figures.clear();
    BOOST_TEST(ratio_charts(r).empty());
}

BOOST_AUTO_TEST_CASE(the_results_are_a_page_of_markdown_and_its_charts) {
    std::string name = (std::filesystem::temp_directory_path() / "rowlock-results-XXXXXX").string();
    BOOST_REQUIRE(mkdtemp(name.data()));
    const std::filesystem::path directory = name;
    write_file(directory / "of-an-earlier-run.svg", "");
    auto r = example();
    r.measurements.front().back_end = "a|b";
    write_results(directory, r);
    const auto read = [](const std::filesystem::path& file) {
        std::ifstream in{file};
        return std::string{std::istreambuf_iterator<char>{in}, {}};
    };
    const auto page = read(directory / "README.md");
    BOOST_TEST(page.find("| at most 1.05 x |  | 1.02 | 1.25 | missed |") != std::string::npos);
    BOOST_TEST(page.find("a\\|b") != std::string::npos);
    BOOST_TEST(page.find("1.25 ±8 %") != std::string::npos);
    BOOST_TEST(page.find("| p99 | 0.86 to 1.12 |") != std::string::npos);
    BOOST_TEST(!std::filesystem::exists(directory / "of-an-earlier-run.svg"));
    for (const auto* chart : {"ratios.svg", "latency-1-thread-two-CPUs.svg"}) {
        BOOST_TEST(page.find(chart) != std::string::npos);
        BOOST_TEST(read(directory / chart).starts_with("<svg xmlns='http://www.w3.org/2000/svg'"));
    }
    std::filesystem::remove_all(directory);
}

BOOST_AUTO_TEST_CASE(an_empty_report_is_a_page_without_charts) {
    BOOST_TEST(count(to_html({}), "<svg ") == 0);
    BOOST_TEST(to_html({}).ends_with("</html>\n"));
}

BOOST_AUTO_TEST_CASE(what_a_name_contains_stays_text) {
    BOOST_TEST(escaped("a<b>&\"c\"'d'") == "a&lt;b&gt;&amp;&quot;c&quot;&#39;d&#39;");
    BOOST_TEST(escaped(std::string_view{"nul\0 escape\x1b", 12}) == "nul  escape ");
    auto r = example();
    const std::string evil = "<script>alert('x')</script>\"'><img src=x>&";
    auto& m = r.measurements.front();
    r.about.front() = {evil, evil};
    m.back_end = m.work = m.clients = m.baseline = m.note = evil;
    m.figures.front().name = m.figures.front().unit = evil;
    r.targets.front().work = r.targets.front().note = r.targets.front().bound = evil;
    for (const auto* suite : {"latency", "contention", "recovery"}) {
        m.suite = suite;
        const auto page = to_html(r);
        BOOST_TEST(page.find("<script") == std::string::npos);
        BOOST_TEST(page.find("<img") == std::string::npos);
        BOOST_TEST(page.find("&lt;script&gt;") != std::string::npos);
    }
}
