#include "report.hpp"

#include <exception>
#include <new>
#include <system_error>

#include <unistd.h>

#include <rowlock/error.hpp>

#include "display.hpp"
#include "exit_status.hpp"

namespace rowlock::cli {
namespace {

// The message, and behind it those of the exceptions within that say something new.
std::string whole_message(const std::exception& e) {
    std::string message = e.what();
    try {
        std::rethrow_if_nested(e);
    } catch (const std::exception& inner) {
        if (const auto more = whole_message(inner); message.find(more) == std::string::npos) message += ": " + more;
    } catch (...) {
        // Nothing that could be shown.
    }
    return message;
}

int status_of(const std::exception& e) {
    if (dynamic_cast<const unsupported*>(&e)) return exit_status::usage;
    if (dynamic_cast<const lock_lost*>(&e)) return exit_status::lost;
    if (dynamic_cast<const error*>(&e)) return exit_status::database;
    if (dynamic_cast<const std::invalid_argument*>(&e)) return exit_status::usage;
    if (dynamic_cast<const std::system_error*>(&e)) return exit_status::system;
    if (dynamic_cast<const std::bad_alloc*>(&e)) return exit_status::system;
    return exit_status::internal;
}

}  // namespace

void tell(std::string_view message) {
    // A message may quote a line of SQL or a name; both can hold anything.
    const auto line = "rowlock: " + printable(message) + '\n';
    // One write, so that the lines of several processes do not mix; if standard error is closed nobody wants to know.
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

int tell_current_exception() {
    try {
        throw;
    } catch (const std::exception& e) {
        tell(whole_message(e));
        return status_of(e);
    } catch (...) {
        tell("an unknown error");
        return exit_status::internal;
    }
}

int tell(const std::exception_ptr& problem) {
    try {
        std::rethrow_exception(problem);
    } catch (...) {
        return tell_current_exception();
    }
}

}  // namespace rowlock::cli
