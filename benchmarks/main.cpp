#include <sys/types.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <contenders/back_ends.hpp>
#include <report/compare.hpp>
#include <report/html.hpp>
#include <report/json.hpp>
#include <report/results.hpp>
#include <report/table.hpp>
#include <rowlock/version.hpp>
#include <running/child.hpp>
#include <running/machine.hpp>
#include <running/surroundings.hpp>
#include <suites/suites.hpp>

namespace bench {
namespace {

enum exit_status : int { success = 0, missed = 1, misuse = 2 };

struct arguments {
    std::vector<std::string> urls{};
    std::string json{}, html{}, results{}, cpus{};
    std::string directory = std::filesystem::temp_directory_path();
    bool enforce = false;
    placements_wanted placements = placements_wanted::both;
    pid_t server = 0;
    std::int64_t hold_us = 50, think_us = 0;
    settings chosen{};
};

using suite = void (*)(const settings&, report&);

void add_options(CLI::App& app, arguments& a) {
    auto& s = a.chosen;
    app.add_option("--url", a.urls,
                   "What to measure, may be repeated; otherwise all that is here: memory, SQLite, a "
                   "PostgreSQL server that is started, and other things to compare with")
        ->type_name("URL")
        ->take_all();
    app.add_flag("--quick", s.quick, "Fewer and shorter passes: three minutes instead of twenty-five");
    app.add_option("--json", a.json, "Write the report, for `compare` and for other programs")
        ->type_name("FILE")
        ->take_last();
    app.add_option("--html", a.html, "Write the report as one page with charts")->type_name("FILE")->take_last();
    app.add_option("--results", a.results, "Write targets, ratios and charts as Markdown and SVG into a directory")
        ->type_name("DIRECTORY");
    app.add_option("--clients", s.clients, "How many compete")->check(CLI::Range(2, 64))->capture_default_str();
    app.add_option("--locks", s.locks, "For how many locks")->check(CLI::Range(1, 64))->capture_default_str();
    app.add_option("--hold", a.hold_us, "How long each holds its lock, in microseconds")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--think", a.think_us, "How long it then wants none, in microseconds")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--passes", s.passes,
                   "How often each row is measured, each time with new connections; fewer than six tell no ratio "
                   "[until it is sure, or the time is over]")
        ->check(CLI::Range(1, 10000));
    app.add_option(
           "--placement", a.placements,
           "both: measure with clients and servers on one CPU, and then on two; one or two: only so; any: as the "
           "scheduler likes")
        ->transform(CLI::CheckedTransformer(std::map<std::string, placements_wanted>{{"both", placements_wanted::both},
                                                                                     {"one", placements_wanted::one},
                                                                                     {"two", placements_wanted::two},
                                                                                     {"any", placements_wanted::any}}))
        ->default_str("both")
        ->type_name("WHERE");
    app.add_option("--cpus", a.cpus, "Run all clients and servers on these CPUs only: 0 or 0,2 or 0-3");
    app.add_option("--server-pid", a.server,
                   "The process of the server that --url or ROWLOCK_TEST_SQLSERVER names, where it runs on this "
                   "machine: it is moved from CPU to CPU like one that was started here, with all its children")
        ->type_name("PID")
        ->check(CLI::PositiveNumber);
    app.add_option("--directory", a.directory, "Where databases are made and removed again")->capture_default_str();
    app.add_flag("--enforce", a.enforce, "Exit status 1 if a target is missed");
}

int finish(const arguments& a, const report& r) {
    fmt::print("{}", to_text(r));
    if (!a.json.empty()) write_file(a.json, to_json(r));
    if (!a.html.empty()) write_file(a.html, to_html(r));
    if (!a.results.empty()) write_results(a.results, r);
    const bool met = std::none_of(r.targets.begin(), r.targets.end(),
                                  [](const target_row& t) { return t.outcome == verdict::missed; });
    return met || !a.enforce ? success : missed;
}

int run(arguments a, const std::vector<suite>& suites) {
    if (!a.cpus.empty()) limit_to(a.cpus);
    progress shown;
    auto& s = a.chosen;
    s.shown = &shown;
    s.hold = std::chrono::microseconds{a.hold_us};
    s.think = std::chrono::microseconds{a.think_us};
    s.urls = a.urls;
    std::optional<surroundings> around;
    if (s.urls.empty()) s.urls = around.emplace(a.directory).urls();
    for (const auto& url : s.urls) (void)back_end_of(url);
    const auto load_before = load();
    const auto started = around ? around->servers() : placer::servers{};
    placer::servers named;
    for (const auto& url : s.urls)
        if (a.server > 0 && back_end_of(url).server && !started.contains(url)) named.emplace(url, a.server);
    placer cpus{a.placements, started, named};
    s.cpus = &cpus;
    report r{.about = describe_run(s)};
    if (around)
        for (const auto& what : around->left_out()) r.about.emplace_back("left out", what);
    for (const auto& [what, value] : r.about) fmt::print("{:10} {}\n", what, value);
    std::fflush(stdout);
    for (const auto measure : suites) measure(s, r);
    shown.clear();
    r.about.emplace_back("load", fmt::format("{} processes at the beginning, {} at the end", load_before, load()));
    return finish(a, r);
}

int compare_files(const std::string& first, const std::string& second, double percent) {
    const auto c = compare(read_report(first), read_report(second), percent / 100);
    fmt::print("{}", to_text(c));
    return c.agree() ? success : missed;
}

std::string overview() {
    std::string kinds;
    for (const auto& b : back_ends()) kinds += fmt::format("  {}\n", b.scheme);
    return "Without a command: everything. A database that you name must have been migrated (`rowlock migrate`). Kinds "
           "of URL\nin this build:\n" +
           kinds;
}

int serve(int argc, char** argv) {
    CLI::App app{"Measures Rowlock beside the bare driver, on this machine.", "rowlock-bench"};
    app.get_formatter()->column_width(30);
    app.fallthrough();
    app.require_subcommand(0, 1);
    app.set_version_flag("--version", "rowlock-bench " ROWLOCK_VERSION);
    app.footer(overview());
    arguments a;
    add_options(app, a);
    const std::vector<suite> all{measure_latency, measure_contention, measure_scale, measure_recovery, measure_targets};
    struct command {
        CLI::App* syntax;
        std::vector<suite> suites;
    };
    std::vector<command> commands;
    const auto add = [&](const char* name, const char* help, std::vector<suite> suites) {
        commands.push_back({app.add_subcommand(name, help), std::move(suites)});
    };
    add("latency", "One client, nobody else about: acquire + release", {measure_latency});
    add("contention", "Several clients: throughput, hand-over, fairness, waiting", {measure_contention});
    add("scale", "Many locks held, many clients waiting: memory, connections, idle statements", {measure_scale});
    add("recovery", "From the death of a holder to the next grant", {measure_recovery});
    add("targets", "What the library must cost, row by row: met, missed, or not sure",
        {measure_latency, measure_contention, measure_targets});
    add("all", "Everything", all);
    auto* comparing = app.add_subcommand(
        "compare",
        "Which ratios differ between two reports; those that one of them is not sure of are counted and left out; exit "
        "status 1 if some differ, or no sure one is in both");
    std::string first, second;
    double percent = 15;
    comparing->add_option("first", first)->required()->type_name("A.json");
    comparing->add_option("second", second)->required()->type_name("B.json");
    comparing->add_option("--within", percent, "By how much they may, in percent")
        ->check(CLI::PositiveNumber)
        ->capture_default_str();
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return app.exit(e) == 0 ? success : misuse;
    }
    if (comparing->parsed()) return compare_files(first, second, percent);
    a.chosen.targets = app.got_subcommand("targets");
    for (const auto& c : commands)
        if (c.syntax->parsed()) return run(std::move(a), c.suites);
    return run(std::move(a), all);
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
    try {
        if (argc > 1 && argv[1] == bench::child_command) return bench::be_child(argc, argv);
        return bench::serve(argc, argv);
    } catch (const std::exception& e) {
        (void)std::fflush(stdout);
        fmt::print(stderr, "rowlock-bench: {}\n", e.what());
        return bench::misuse;
    }
}
