#include <rowlock/error.hpp>

#include <utility>

namespace rowlock {

error::error(const std::string& message, error_context context)
    : std::runtime_error{message}, context_{std::move(context)} {}

// Out of line, so that every shared library sees the same type information.
error::~error() = default;
cancelled::~cancelled() = default;
connection_error::~connection_error() = default;
in_doubt_error::~in_doubt_error() = default;
lock_lost::~lock_lost() = default;
deadlock_detected::~deadlock_detected() = default;
schema_error::~schema_error() = default;
unsupported::~unsupported() = default;

}  // namespace rowlock
