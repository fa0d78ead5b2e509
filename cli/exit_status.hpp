#pragma once

#include <string>

namespace rowlock::cli {

/// What the command's exit status says. Numbers of sysexits.h where one fits; 126 and 127 as in every shell.
namespace exit_status {
constexpr int success = 0;
constexpr int negative = 1;          ///< the question has an answer, and it is no
constexpr int usage = 64;            ///< EX_USAGE
constexpr int database = 69;         ///< EX_UNAVAILABLE
constexpr int internal = 70;         ///< EX_SOFTWARE
constexpr int system = 71;           ///< EX_OSERR
constexpr int lost = 74;             ///< EX_IOERR
constexpr int busy = 75;             ///< EX_TEMPFAIL: try again later
constexpr int cannot_execute = 126;  ///< POSIX, "Exit Status for Commands"
constexpr int not_found = 127;
}  // namespace exit_status

/// All of them, one a line, for `--help`.
[[nodiscard]] std::string exit_status_help();

/// Those that `run` ends with.
[[nodiscard]] std::string run_exit_status_help();

}  // namespace rowlock::cli
