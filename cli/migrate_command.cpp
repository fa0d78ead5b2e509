#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <rowlock/schema.hpp>

#include "command.hpp"
#include "exit_status.hpp"
#include "report.hpp"

namespace rowlock::cli {
namespace {

struct arguments {
    bool plan = false;
    bool check = false;
    bool print = false;
};

std::vector<migration> plan(const database& db, const options& opt) {
    auto schema = open_schema(db.url, opt);
    std::error_code ignored;
    // Not even its directory need be there yet, which for any other database would be an error.
    if (!db.default_file.empty() && !std::filesystem::exists(db.default_file, ignored))
        return {schema.all().begin(), schema.all().end()};
    return schema.plan();
}

int migrate(const arguments& given, const common_options& common) {
    const auto opt = common.library_options();
    const auto db = choose_database(common.db);
    if (given.print) {
        for (const auto& step : open_schema(db.url, opt).all()) {
            std::fwrite(step.sql.data(), 1, step.sql.size(), stdout);
            if (!step.sql.ends_with('\n')) std::fputc('\n', stdout);
        }
        return exit_status::success;
    }
    if (given.plan || given.check) {
        const auto missing = plan(db, opt);
        if (given.plan) {
            for (const auto& step : missing) fmt::print("{}\n", step.name);
            if (missing.empty()) fmt::print("up to date\n");
            return exit_status::success;
        }
        if (missing.empty()) {
            fmt::print("up to date\n");
            return exit_status::success;
        }
        tell(fmt::format("not up to date: {} {} missing; run `rowlock migrate`", missing.front().name,
                         missing.size() > 1 ? "and later steps are" : "is"));
        return exit_status::negative;
    }
    make_room(db);
    const auto ran = open_schema(db.url, opt).migrate();
    for (const auto& step : ran) fmt::print("applied {}\n", step.name);
    if (ran.empty()) fmt::print("up to date\n");
    return exit_status::success;
}

}  // namespace

command migrate_command(CLI::App& app) {
    auto given = std::make_shared<arguments>();
    auto* syntax = app.add_subcommand("migrate", "Create rowlock's tables in a database, or bring them up to date");
    auto* plan = syntax->add_flag("--plan", given->plan, "Only say which steps would be run");
    auto* check = syntax->add_flag("--check", given->check, "Only check; exit status 1 if a step is missing");
    auto* print = syntax->add_flag("--print", given->print, "Only write the SQL of all steps to standard output");
    plan->excludes(check)->excludes(print);
    check->excludes(print);
    syntax->footer(
        "Several hosts may migrate one database at the same time: one does it, the others wait for it.\n"
        "A SQLite database is created if there is none; a server's database must exist.\n\n"
        "Examples:\n"
        "  rowlock --db sqlite:/var/lib/app/locks.db migrate\n"
        "  rowlock --db sqlite:/var/lib/app/locks.db migrate --check || exit 1\n"
        "  rowlock --db sqlite:/var/lib/app/locks.db migrate --print | sqlite3 locks.db\n"
        "  rowlock --db postgresql+lease://db1/shop --schema locks migrate --print | psql shop\n");
    return {syntax, [given](const common_options& common) { return migrate(*given, common); }};
}

}  // namespace rowlock::cli
