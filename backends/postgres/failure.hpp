#pragma once

#include <string>
#include <string_view>

#include <rowlock/error.hpp>

#include <no_answer.hpp>

#include <libpq-fe.h>

#include "statement.hpp"

namespace rowlock::postgres {

/// The SQLSTATEs that this back end tells apart. https://www.postgresql.org/docs/current/errcodes-appendix.html
namespace sqlstate {
inline constexpr std::string_view deadlock_detected = "40P01";
inline constexpr std::string_view insufficient_privilege = "42501";
inline constexpr std::string_view read_only = "25006";
inline constexpr std::string_view lock_not_available = "55P03";
inline constexpr std::string_view query_canceled = "57014";
inline constexpr std::string_view serialization_failure = "40001";
inline constexpr std::string_view invalid_statement_name = "26000";
}  // namespace sqlstate

using detail::no_answer;

/// What the server's error means to a user of the library: throws the `rowlock::error` that fits, with what to do.
/// @param backend the name of the back end, for the context
/// @param schema which the tables are in, for what to do
[[noreturn]] void fail(const PGresult* failed, std::string_view backend, std::string_view schema = default_schema);

/// The same for an error that is known by its parts only (as libpqxx hands them on).
[[noreturn]] void fail(std::string_view state, const std::string& message, std::string_view backend,
                       std::string_view schema = default_schema);

/// libpq's messages end with line feeds, and some have several lines.
[[nodiscard]] std::string one_line(std::string_view message);

}  // namespace rowlock::postgres
