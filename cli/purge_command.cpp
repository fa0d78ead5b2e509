#include <memory>
#include <string>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <rowlock/provider.hpp>

#include "command.hpp"
#include "duration.hpp"
#include "exit_status.hpp"

namespace rowlock::cli {

command purge_command(CLI::App& app) {
    auto idle = std::make_shared<std::string>();
    auto* syntax = app.add_subcommand("purge", "Forget names that nobody has used for a while");
    syntax->add_option("--idle", *idle, "Forget names last granted this long ago or longer")
        ->type_name("DUR")
        ->required();
    syntax->footer(
        "Names that somebody holds or waits for stay. Fencing tokens of forgotten names go on growing if the names "
        "are\n"
        "used again. With --prefix too, names of every prefix are forgotten.\n\n"
        "Example:\n"
        "  rowlock purge --idle 30d\n");
    return {syntax, [idle](const common_options& common) {
                const auto at_least = parse_duration(*idle);
                const auto opt = common.library_options();
                const auto db = choose_database(common.db);
                prepare(db, opt);
                const auto forgotten = open(db.url, opt).purge(at_least);
                fmt::print("{} {} forgotten\n", forgotten, forgotten == 1 ? "name" : "names");
                return exit_status::success;
            }};
}

}  // namespace rowlock::cli
