#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "command.hpp"
#include "duration.hpp"
#include "exit_status.hpp"
#include "report.hpp"
#include "supervision/front.hpp"

namespace rowlock::cli {
namespace {

struct arguments {
    std::string name{};
    std::string wait{};
    bool no_wait = false;
    std::string ttl{};
    std::string hold_at_least = "0s";
    bool shared = false;
    std::int64_t permits = 0;  // 0: not asked for
    std::string grace = "10s";
    std::vector<std::string> job{};
    bool dashes = false;
};

std::chrono::milliseconds duration_of(const char* option, const std::string& text) {
    try {
        return parse_duration(text);
    } catch (const std::invalid_argument& e) {
        throw usage_error{fmt::format("{}: {}", option, e.what())};
    }
}

run_request understand(const arguments& given, const common_options& common) {
    if (!given.dashes)
        throw usage_error{
            fmt::format("say which command to run, behind two dashes: rowlock run {} -- COMMAND...", given.name)};
    if (given.job.empty() || given.job.front().empty()) throw usage_error{"there is no command behind the two dashes"};
    run_request request{.opt = common.library_options(), .name = given.name, .job = given.job};
    request.wait = !given.no_wait;
    if (!given.wait.empty()) request.wait_until = deadline::after(duration_of("--wait", given.wait));
    if (!given.ttl.empty()) {
        request.opt.ttl = duration_of("--ttl", given.ttl);
        using namespace std::chrono_literals;
        if (request.opt.ttl < 50ms || request.opt.ttl > 24 * 24h)
            throw usage_error{fmt::format("--ttl: must be 50ms to 24d, not {}", given.ttl)};
    }
    request.grace = duration_of("--grace", given.grace);
    request.hold_at_least = duration_of("--hold-at-least", given.hold_at_least);
    if (given.shared) request.mode = lock_mode::shared;
    if (given.permits != 0) {
        request.mode = lock_mode::permit;
        request.permits = static_cast<std::uint32_t>(given.permits);  // range checked by the parser
    }
    request.db = choose_database(common.db);
    return request;
}

// The parser does not see what stands behind `--`, so it cannot know what to say about it.
class run_help : public CLI::Formatter {
public:
    std::string make_usage(const CLI::App*, std::string) const override {
        return "Usage: rowlock run [OPTIONS] NAME -- COMMAND [ARGUMENT...]\n";
    }
};

}  // namespace

command run_command(CLI::App& app, std::vector<std::string> job, bool dashes) {
    auto given = std::make_shared<arguments>();
    given->job = std::move(job);
    given->dashes = dashes;
    auto* syntax = app.add_subcommand("run", "Run a command while holding a lock");
    auto formatter = std::make_shared<run_help>();
    formatter->column_width(34);
    syntax->formatter(formatter);
    syntax->add_option("NAME", given->name, "The lock's name: 1 to 255 bytes of UTF-8")->required();
    auto* wait =
        syntax->add_option("--wait", given->wait, "Wait this long for the lock at most; without it: without limit");
    wait->type_name("DUR");
    syntax->add_flag("--no-wait", given->no_wait, "Do not wait: if somebody else holds the lock, end at once")
        ->excludes(wait);
    syntax
        ->add_option("--ttl", given->ttl,
                     "How long the lock outlives a rowlock that has fallen silent; 50ms to 24d [30s]")
        ->type_name("DUR");
    syntax
        ->add_option("--hold-at-least", given->hold_at_least,
                     "Keep the lock this long even if the command ends sooner, so that a host with a late clock does "
                     "not run it again")
        ->type_name("DUR");
    auto* shared = syntax->add_flag("--shared", given->shared, "Share the lock with others who say --shared");
    syntax->add_option("--permits", given->permits, "At most N at once; all who use this name should say the same N")
        ->type_name("N")
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{2147483647}).description(""))
        ->excludes(shared);
    syntax->add_option("--grace", given->grace, "After a loss: how long between SIGTERM and SIGKILL [10s]")
        ->type_name("DUR");
    syntax->footer(
        "DUR is a duration such as 500ms, 5s, 1m30s, 2h or 1d.\n\n"
        "The command finds ROWLOCK_NAME, ROWLOCK_OWNER and ROWLOCK_TOKEN in its environment. The token grows with "
        "every\n"
        "grant of the name; send it along with writes, and let the receiver refuse a smaller one than it has seen.\n\n"
        "The lock is held until the command and every process that it started has ended, daemons too. If the lock is\n"
        "lost (an operator broke it, the database was out of reach for longer than --ttl), all of them get SIGTERM, "
        "and\n"
        "SIGKILL after --grace. If rowlock itself is killed they are killed with it, and only then is the lock "
        "released.\n\n"
        "SIGINT or SIGTERM, while the command runs or afterwards, puts an end to --hold-at-least, too.\n\n"
        "Signals sent to rowlock are passed on to the command's process group, and ^C, ^Z, fg and bg work as without\n"
        "rowlock. A command stopped by ^Z keeps its lock: it is renewed until the command goes on or ends. A rowlock\n"
        "that is itself stopped (kill -STOP) while its command runs on gives the lock up, and ends the command, after "
        "one\n"
        "--ttl. Stopped while it waits for the lock, it leaves the queue, and stands at its end when it is "
        "continued.\n\n" +
        run_exit_status_help() +
        "\nExamples:\n"
        "  rowlock run nightly -- ./job.sh\n"
        "  rowlock run --no-wait --hold-at-least 1m nightly -- ./job.sh    # from every host's crontab\n"
        "  rowlock run --wait 5m --ttl 10s deploy -- make deploy\n"
        "  rowlock run --permits 4 licenses -- sh -c 'compile \"$1\"' sh file.c\n");
    return {syntax, [given](const common_options& common) { return run_in_front(understand(*given, common)); }};
}

}  // namespace rowlock::cli
