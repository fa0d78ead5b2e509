#include "exit_status.hpp"

#include <fmt/format.h>

namespace rowlock::cli {
namespace {

std::string line(const std::string& status, const char* meaning) {
    return fmt::format("  {:<6} {}\n", status, meaning);
}
std::string line(int status, const char* meaning) { return line(std::to_string(status), meaning); }

std::string errors() {
    return line(exit_status::usage, "the command line makes no sense, or the back end cannot do what it asks") +
           line(exit_status::database, "the database cannot be reached or used, or is not migrated") +
           line(exit_status::internal, "a bug in rowlock") +
           line(exit_status::system,
                "the system refused something (no processes or files left), or killed a part of rowlock");
}

}  // namespace

std::string run_exit_status_help() {
    return "Exit status:\n" +  //
           line("0-255", "the command's own") + line("128+n", "the command died of signal n") + errors() +
           line(exit_status::lost, "the lock was lost while the command ran; the command was ended") +
           line(exit_status::busy, "busy: somebody else holds the lock, and the wait was over") +
           line(exit_status::cannot_execute, "the command was found but cannot be executed") +
           line(exit_status::not_found, "the command was not found") +
           line("130", "interrupted while waiting for the lock (129 hang-up, 143 terminated)");
}

std::string exit_status_help() {
    return "Exit status:\n" + line(exit_status::success, "done") +
           line(exit_status::negative,
                "no: not up to date (migrate --check), nobody held it (break), a problem (doctor)") +
           errors() + "Those of run besides: the command's own, 128+n if it died of signal n, and\n" +
           line(exit_status::lost, "the lock was lost while the command ran; the command was ended") +
           line(exit_status::busy, "busy: somebody else holds the lock, and the wait was over") +
           line(exit_status::cannot_execute, "the command was found but cannot be executed") +
           line(exit_status::not_found, "the command was not found");
}

}  // namespace rowlock::cli
