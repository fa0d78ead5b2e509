#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include <unistd.h>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <rowlock/error.hpp>
#include <rowlock/provider.hpp>

#include "command.hpp"
#include "display.hpp"
#include "duration.hpp"
#include "exit_status.hpp"
#include "report.hpp"

namespace rowlock::cli {
namespace {

struct arguments {
    std::string prefix{};
    bool json = false;
    bool watch = false;
};

using json = nlohmann::ordered_json;

json to_json(const holder_status& h) {
    return {{"mode", to_string(h.mode)},
            {"owner", h.owner},
            {"token", h.token ? json(h.token->value()) : json(nullptr)},
            {"since", utc_time(h.since)},
            {"expires_in_ms", h.expires_in ? json(std::int64_t{h.expires_in->count()}) : json(nullptr)}};
}

json to_json(const waiter_status& w) {
    return {{"mode", to_string(w.mode)}, {"owner", w.owner}, {"since", utc_time(w.since)}};
}

std::string as_json(const std::vector<lock_status>& locks) {
    auto all = json::array();
    for (const auto& lock : locks) {
        auto holders = json::array();
        for (const auto& h : lock.holders) holders.push_back(to_json(h));
        auto waiters = json::array();
        for (const auto& w : lock.waiters) waiters.push_back(to_json(w));
        all.push_back({{"name", lock.name}, {"holders", std::move(holders)}, {"waiters", std::move(waiters)}});
    }
    const json document{{"locks", std::move(all)}};
    return document.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
}

std::string as_table(const std::vector<lock_status>& locks) {
    if (locks.empty()) return "no lock is held or waited for\n";
    std::vector<std::vector<std::string>> rows{
        {"NAME", "STATE", "MODE", "OWNER", "TOKEN", "SINCE", "EXPIRES IN", "WAITERS"}};
    for (const auto& lock : locks) {
        auto waiters = std::to_string(lock.waiters.size());
        for (const auto& h : lock.holders) {
            rows.push_back({lock.name, "held", std::string{to_string(h.mode)}, h.owner,
                            h.token ? std::to_string(h.token->value()) : "-", local_time(h.since),
                            h.expires_in ? short_duration(*h.expires_in) : "-", std::exchange(waiters, "")});
        }
        for (const auto& w : lock.waiters) {
            rows.push_back({lock.name, "waits", std::string{to_string(w.mode)}, w.owner, "", local_time(w.since), "",
                            std::exchange(waiters, "")});
        }
    }
    return format_table(rows);
}

void write(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

// Redraws until an interruption, which is the way to end it and therefore no failure.
int watch(const provider& locks, const std::string& prefix, const sigset_t& ends) {
    const bool terminal = isatty(STDOUT_FILENO) == 1;
    for (;;) {
        std::string screen = terminal ? "\x1b[H\x1b[2J" : "";
        screen += local_time(std::chrono::system_clock::now()) + '\n';
        try {
            screen += as_table(locks.status(prefix));
        } catch (const error& e) {
            screen += "rowlock: " + printable(e.what()) + '\n';  // the database may be back in a second
        }
        if (!terminal) screen += '\n';
        write(screen);
        const timespec second{1, 0};
        if (sigtimedwait(&ends, nullptr, &second) > 0) return exit_status::success;
    }
}

int status(const arguments& given, const common_options& common) {
    const auto opt = common.library_options();
    const auto db = choose_database(common.db);
    const auto prefix = opt.key_prefix + given.prefix;
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    // Before the provider's threads exist: they inherit the mask, and none of them may take these signals.
    if (given.watch) pthread_sigmask(SIG_BLOCK, &ends, nullptr);
    prepare(db, opt);
    const auto locks = open(db.url, opt);
    if (given.watch) return watch(locks, prefix, ends);
    const auto found = locks.status(prefix);
    write(given.json ? as_json(found) : as_table(found));
    return exit_status::success;
}

}  // namespace

command status_command(CLI::App& app) {
    auto given = std::make_shared<arguments>();
    auto* syntax = app.add_subcommand("status", "Show who holds what, and who waits");
    syntax->add_option("PREFIX", given->prefix, "Only names that start with this (behind --prefix)");
    auto* as_json = syntax->add_flag("--json", given->json, "Write JSON, for programs");
    syntax->add_flag("--watch", given->watch, "Show it anew every second, until ^C")->excludes(as_json);
    syntax->footer(
        "SINCE is local time. EXPIRES IN is how long the lock would still be held if its holder fell silent now.\n"
        "Control and invisible characters in names are shown escaped, and a backslash doubled.\n\n"
        "The JSON document; fields may be added, none is renamed or removed:\n"
        "  {\"locks\": [{\"name\": text,\n"
        "              \"holders\": [{\"mode\": \"exclusive\" | \"shared\" | \"upgrade\" | \"permit\", \"owner\": "
        "text,\n"
        "                           \"token\": 64-bit integer or null, \"since\": UTC time of ISO 8601,\n"
        "                           \"expires_in_ms\": integer or null}],\n"
        "              \"waiters\": [{\"mode\", \"owner\", \"since\"}]}]}\n\n"
        "Examples:\n"
        "  rowlock status\n"
        "  rowlock status billing: --watch\n"
        "  rowlock status --json | jq -r '.locks[] | select(.waiters != []).name'\n");
    return {syntax, [given](const common_options& common) { return status(*given, common); }};
}

}  // namespace rowlock::cli
