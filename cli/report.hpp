#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <string_view>

namespace rowlock::cli {

/// The command line makes no sense.
class usage_error : public std::invalid_argument {
public:
    using std::invalid_argument::invalid_argument;
};

/// Writes "rowlock: message" as one line to standard error, in one piece, safe for a terminal.
void tell(std::string_view message);

/// Tells what went wrong, nested exceptions included where they add something, and returns the exit status for it.
/// Call it in a catch clause.
[[nodiscard]] int tell_current_exception();

/// The same for an exception that was kept.
[[nodiscard]] int tell(const std::exception_ptr& problem);

}  // namespace rowlock::cli
