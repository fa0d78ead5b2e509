#include <array>
#include <memory>
#include <string>

#include <pwd.h>
#include <unistd.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <rowlock/provider.hpp>

#include "command.hpp"
#include "display.hpp"
#include "exit_status.hpp"
#include "report.hpp"

namespace rowlock::cli {
namespace {

struct arguments {
    std::string name{};
    std::string reason{};
};

// For people who find a broken lock later: "host:pid:rowlock" of a process that is long gone would not help them.
std::string user_and_host() {
    std::array<char, 256> host{};
    if (gethostname(host.data(), host.size() - 1) != 0) host = {"localhost"};
    const passwd* user = getpwuid(geteuid());
    return fmt::format("{}@{}", user ? user->pw_name : std::to_string(geteuid()), host.data());
}

int break_lock(const arguments& given, const common_options& common) {
    if (given.reason.empty()) throw usage_error{"--reason must not be empty: those who held the lock are told it"};
    auto opt = common.library_options();
    if (common.owner.empty()) opt.owner = user_and_host();
    const auto db = choose_database(common.db);
    prepare(db, opt);
    if (open(db.url, opt).break_lock(given.name, given.reason)) {
        fmt::print("broken: \"{}\"\n", printable(given.name));
        return exit_status::success;
    }
    tell(fmt::format("nobody held \"{}\"", given.name));
    return exit_status::negative;
}

}  // namespace

command break_command(CLI::App& app) {
    auto given = std::make_shared<arguments>();
    auto* syntax = app.add_subcommand("break", "Take a lock away from whoever holds it");
    syntax->add_option("NAME", given->name, "The lock's name, without the prefix")->required();
    syntax->add_option("--reason", given->reason, "Why; it is recorded and told to those who held the lock")
        ->type_name("TEXT")
        ->required();
    syntax->footer(
        "The holder hears of it at its next renewal or sooner, possibly after somebody else has the lock: only what "
        "it\n"
        "writes with its fencing token is safe until then. A command under `rowlock run` is ended. The reason is "
        "recorded\n"
        "together with --owner, which is user@host here if it is not given.\n\n"
        "A PostgreSQL advisory lock cannot be taken from a session: the sessions that hold it are ended, with all that "
        "they\n"
        "hold. That needs the same role or pg_signal_backend, and rowlock's tables for the record.\n\n"
        "Exit status: 0 broken, 1 nobody held it; others as for all commands, see rowlock --help.\n\n"
        "Example:\n"
        "  rowlock break nightly --reason 'host db3 hangs, see ticket 4711'\n");
    return {syntax, [given](const common_options& common) { return break_lock(*given, common); }};
}

}  // namespace rowlock::cli
