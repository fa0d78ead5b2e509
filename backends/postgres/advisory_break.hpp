#pragma once

#include <cstddef>
#include <string_view>

#include "session.hpp"

namespace rowlock::postgres {

/// Takes an advisory lock away from all who hold it, and records that in rowlock's tables. PostgreSQL cannot take a
/// lock from a session, so their sessions are ended, and with them everything else that they hold. Returns how many
/// there were, once they are gone.
/// @param s must not hold the lock
/// @throws schema_error there are no tables: nothing is broken that leaves no trace; says what to run instead
/// @throws connection_error this role may not end one of these sessions; the others may have been ended
std::size_t advisory_break(session& s, std::string_view name, std::string_view reason, std::string_view by, deadline d);

}  // namespace rowlock::postgres
