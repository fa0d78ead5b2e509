#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <rowlock/doctor.hpp>

#include "command.hpp"
#include "display.hpp"
#include "exit_status.hpp"

namespace rowlock::cli {
namespace {

std::vector<finding> look(const database& db, const options& opt) {
    std::error_code ignored;
    // Looking must not change anything, so the default database is not made here; that it is missing is no trouble.
    if (!db.default_file.empty() && !std::filesystem::exists(db.default_file, ignored))
        return {{severity::good, "default database", "not there yet; it is created when it is first used", ""}};
    return diagnose(db.url, opt);
}

void show_json(const std::vector<finding>& findings) {
    auto all = nlohmann::ordered_json::array();
    for (const auto& f : findings) {
        all.push_back({{"level", to_string(f.level)}, {"what", f.what}, {"found", f.found}, {"remedy", f.remedy}});
    }
    const nlohmann::ordered_json document{{"findings", std::move(all)}};
    fmt::print("{}\n", document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void show_text(const std::vector<finding>& findings) {
    for (const auto& f : findings) {
        fmt::print("{:<8} {}: {}\n", to_string(f.level), printable(f.what), printable(f.found));
        if (!f.remedy.empty()) fmt::print("         -> {}\n", printable(f.remedy));
    }
}

}  // namespace

command doctor_command(CLI::App& app) {
    auto json = std::make_shared<bool>(false);
    auto* syntax = app.add_subcommand("doctor", "Look at a database, and say what is wrong with it for locking");
    syntax->add_flag("--json", *json, R"(Write JSON: {"findings": [{"level", "what", "found", "remedy"}]})");
    syntax->footer(
        "Every finding is good, an advice or a problem, and says what to do about it. Changes nothing.\n\n"
        "Exit status: 0 no problem, 1 at least one problem; others as for all commands, see rowlock --help.\n\n"
        "Example:\n"
        "  rowlock --db sqlite:/var/lib/app/locks.db doctor\n");
    return {syntax, [json](const common_options& common) {
                const auto findings = look(choose_database(common.db), common.library_options());
                if (*json)
                    show_json(findings);
                else
                    show_text(findings);
                const bool problem = std::any_of(findings.begin(), findings.end(),
                                                 [](const finding& f) { return f.level == severity::problem; });
                return problem ? exit_status::negative : exit_status::success;
            }};
}

}  // namespace rowlock::cli
