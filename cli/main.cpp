#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <rowlock/provider.hpp>
#include <rowlock/version.hpp>

#include "command.hpp"
#include "exit_status.hpp"
#include "report.hpp"

namespace rowlock::cli {
namespace {

std::string overview() {
    std::string kinds;
    for (const auto& kind : registered_backends()) kinds += "  " + kind + '\n';
    return "Databases: --db URL, else the environment's ROWLOCK_DB, else a SQLite database in the user's state "
           "directory\n"
           "($XDG_STATE_HOME/rowlock/locks.db, or ~/.local/state/rowlock/locks.db). That one is created and migrated "
           "when it\n"
           "is first used; any other is migrated by `rowlock migrate` only. Kinds of URL in this build:\n" +
           kinds +
           "\n"
           "Durations are written 500ms, 5s, 1m30s, 2h or 1d.\n\n" +
           exit_status_help() +
           "\nExamples:\n"
           "  rowlock run nightly -- ./job.sh\n"
           "      run it when nobody else does; from cron on many hosts: with --db and --no-wait\n"
           "  rowlock status\n"
           "      who holds what, and who waits\n"
           "  rowlock break nightly --reason 'host db3 hangs'\n"
           "      take a lock away from a holder that is stuck\n"
           "  rowlock --db sqlite:/var/lib/app/locks.db migrate\n"
           "      prepare a database of your choice\n"
           "  rowlock --db sqlite:/var/lib/app/locks.db doctor\n"
           "      find out what is wrong with it\n\n"
           "rowlock COMMAND --help tells more about each command.";
}

// Takes the command that is to be run, behind the first `--`, out of the arguments: nothing in it is meant for us.
std::vector<std::string> take_job(std::vector<std::string>& arguments, bool& dashes) {
    const auto dash = std::find(arguments.begin(), arguments.end(), "--");
    dashes = dash != arguments.end() && std::find(arguments.begin(), dash, "run") != dash;
    if (!dashes) return {};
    std::vector<std::string> job{dash + 1, arguments.end()};
    arguments.erase(dash, arguments.end());
    return job;
}

std::string what_is_wrong(const CLI::App& app, const CLI::ParseError& e) {
    const auto chosen = app.get_subcommands();
    if (!chosen.empty()) return fmt::format("{} (rowlock {} --help tells more)", e.what(), chosen.front()->get_name());
    if (const auto unknown = app.remaining(); !unknown.empty())
        return fmt::format("there is no command or option \"{}\" (rowlock --help shows them)", unknown.front());
    return fmt::format("{} (rowlock --help tells more)", e.what());
}

int execute(std::vector<std::string> arguments) {
    bool dashes = false;
    auto job = take_job(arguments, dashes);

    CLI::App app{"Distributed locks in the SQL database that your programs share.", "rowlock"};
    app.get_formatter()->column_width(34);
    app.fallthrough();  // rowlock run --db URL ... and rowlock --db URL run ... are the same
    app.require_subcommand(1);
    app.set_version_flag("--version", "rowlock " ROWLOCK_VERSION);
    app.footer(overview());
    common_options common;
    auto* db = app.add_option("--db", common.db, "The database that the locks are in")->type_name("URL");
    app.add_option("--prefix", common.prefix, "Put before every lock's name")->type_name("TEXT");
    app.add_option("--owner", common.owner, "What status shows as the holder [host:pid:program]")->type_name("TEXT");
    app.add_option("--schema", common.schema, "PostgreSQL: the schema of rowlock's tables [rowlock]")
        ->type_name("NAME")
        ->envname("ROWLOCK_SCHEMA");
    app.add_flag("--allow-network-fs", common.allow_network_fs,
                 "Use a SQLite database on a network file system, where two holders are possible");
    const std::vector commands{run_command(app, std::move(job), dashes),
                               migrate_command(app),
                               status_command(app),
                               break_command(app),
                               purge_command(app),
                               doctor_command(app)};
    try {
        std::reverse(arguments.begin(), arguments.end());  // as the parser wants them
        app.parse(std::move(arguments));
    } catch (const CLI::Success& e) {
        return app.exit(e);  // --help, --version
    } catch (const CLI::ParseError& e) {
        throw usage_error{what_is_wrong(app, e)};
    }
    if (db->count() > 0 && common.db.empty()) throw usage_error{"--db is empty"};
    const auto chosen =
        std::find_if(commands.begin(), commands.end(), [](const auto& c) { return c.syntax->parsed(); });
    const int status = chosen->execute(common);
    // Output that did not get through is no success: a full disk, for one.
    if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && status == exit_status::success) {
        tell("standard output cannot be written");
        return exit_status::system;
    }
    return status;
}

}  // namespace
}  // namespace rowlock::cli

int main(int argc, char** argv) {
    try {
        return rowlock::cli::execute({argv + std::min(argc, 1), argv + argc});
    } catch (...) {
        return rowlock::cli::tell_current_exception();
    }
}
