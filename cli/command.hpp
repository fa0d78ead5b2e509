#pragma once

#include <functional>
#include <string>
#include <vector>

#include <rowlock/options.hpp>

#include "database.hpp"

namespace CLI {
class App;
}

namespace rowlock::cli {

/// What all subcommands have in common.
struct common_options {
    std::string db{};
    std::string prefix{};
    std::string owner{};
    std::string schema{};
    bool allow_network_fs = false;

    [[nodiscard]] options library_options() const;
};

/// One subcommand: its part of the command line, and what it does.
struct command {
    CLI::App* syntax;
    std::function<int(const common_options&)> execute;  ///< returns the exit status
};

/// `job`: what stands after `--` on the command line, untouched; `dashes`: whether there was one.
[[nodiscard]] command run_command(CLI::App& app, std::vector<std::string> job, bool dashes);
[[nodiscard]] command migrate_command(CLI::App& app);
[[nodiscard]] command status_command(CLI::App& app);
[[nodiscard]] command break_command(CLI::App& app);
[[nodiscard]] command purge_command(CLI::App& app);
[[nodiscard]] command doctor_command(CLI::App& app);

}  // namespace rowlock::cli
