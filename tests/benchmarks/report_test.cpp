// What the reports of rowlock-bench are made of: statistics, JSON, the comparison of two, tables and the page.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

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
                 {.name = "n", .unit = "", .value = 400}};
    m.distributions = {{"rowlock", {{10, 0}, {12.5, 0.5}, {90, 1}}}, {"bare libpq", {{8, 0}, {10, 0.5}, {70, 1}}}};
    report r{.about = {{"machine", "a test"}}, .measurements = {m}};
    r.targets = {{.work = "lease",
                  .bound = "at most 1.05 x",
                  .values = {{"one CPU", 1.02}, {"two CPUs", 1.25}},
                  .outcome = verdict::missed},
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
    BOOST_TEST(ratio_of_blocks(std::vector<double>{2, 2, 200}, std::vector<double>{1, 1, 1})->value == 2);
    // What disturbs both alike does not count either.
    BOOST_TEST(ratio_of_blocks(std::vector<double>{2, 20, 200}, std::vector<double>{1, 10, 100})->value == 2);
    BOOST_TEST(!ratio_of_blocks({}, {}));
}

BOOST_AUTO_TEST_CASE(a_block_in_which_one_side_did_nothing_counts_as_what_it_is) {
    BOOST_TEST(ratio_of_blocks(std::vector<double>{2, 0, 2, 4, 2}, std::vector<double>{1, 1, 0, 1, 1})->value == 2);
    BOOST_TEST(ratio_of_blocks(std::vector<double>{0, 0, 2}, std::vector<double>{1, 1, 1})->value == 0);
    BOOST_TEST(!ratio_of_blocks(std::vector<double>{2, 2, 2}, std::vector<double>{1, 0, 0}));
}

BOOST_AUTO_TEST_CASE(the_range_of_a_ratio_is_that_of_the_ranks_about_the_median) {
    std::vector<double> ours, theirs(100, 1.0);
    for (int i = 1; i <= 100; ++i) ours.push_back(i);
    const auto r = ratio_of_blocks(ours, theirs);
    BOOST_TEST(r->value == 50.5);
    BOOST_TEST(r->range->first == 41);  // 50 - 1.96 * 5, rounded outwards
    BOOST_TEST(r->range->second == 60);
    // Of six, the least and the greatest: both are on the same side of the median once in 32 times.
    const auto six = ratio_of_blocks(std::vector<double>{6, 5, 4, 3, 2, 1}, std::vector<double>(6, 1.0));
    BOOST_TEST(six->range->first == 1);
    BOOST_TEST(six->range->second == 6);
    BOOST_TEST(!ratio_of_blocks(std::vector<double>(5, 1.0), std::vector<double>(5, 1.0))->range);
}

BOOST_AUTO_TEST_CASE(the_ratio_of_a_percentile_needs_ten_durations_beyond_it) {
    using blocks = std::vector<std::vector<std::int64_t>>;
    const auto of = [](std::int64_t each, std::size_t count) {
        return blocks(count, std::vector<std::int64_t>(100, each));
    };
    BOOST_TEST(ratio_of_percentiles(of(3000, 2), of(2000, 2), 50)->value == 1.5);
    BOOST_TEST(!ratio_of_percentiles(of(3000, 9), of(2000, 9), 99));
    BOOST_TEST(ratio_of_percentiles(of(3000, 10), of(2000, 10), 99)->value == 1.5);
    // Six times ten blocks are six ratios.
    BOOST_TEST(!ratio_of_percentiles(of(3000, 59), of(2000, 59), 99)->range);
    BOOST_TEST(ratio_of_percentiles(of(3000, 60), of(2000, 60), 99)->range.has_value());
    BOOST_TEST(!ratio_of_percentiles(blocks{{}, {}}, blocks{{}, {}}, 50));
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
    BOOST_TEST(again.targets.front().values.at(1).second == 1.25);
    BOOST_TEST(again.measurements.front().distributions.at(1).points.at(2).first == 70);
    BOOST_TEST((again.targets.at(2).outcome == verdict::not_measured));
}

BOOST_AUTO_TEST_CASE(what_is_no_report_is_refused) {
    for (const auto* text : {"", "{}", "[]", "{\"rowlock_bench\": 1}", "{\"rowlock_bench\": 999}", "no JSON"})
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
    BOOST_TEST(c.only_one.size() == 2);
    // Nothing that could agree.
    BOOST_TEST(!c.agree());
    auto both = example();
    both.measurements.push_back(other.measurements.front());
    BOOST_TEST(compare(example(), both, 0.15).agree());
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
    BOOST_TEST(text.find("1 of 2 ratios differ by more than 15 %") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(times_are_not_compared) {
    auto slower = example();
    for (auto& f : slower.measurements.front().figures) f.value *= 10;
    BOOST_TEST(compare(example(), slower, 0.15).agree());
}

BOOST_AUTO_TEST_CASE(a_table_shows_the_baseline_and_the_ratio_below_each_other) {
    const auto text = to_text(example());
    BOOST_TEST(text.find("1.25 ±8 %") != std::string::npos);
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
