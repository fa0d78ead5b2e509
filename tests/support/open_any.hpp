#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <rowlock/options.hpp>
#include <rowlock/provider.hpp>

namespace rowlock::test {

/// Opens a rowlock URL, and also what has no URL: "sqlite-connection:PATH", through a SQLite::Database that a program
/// has already, "postgresql-advisory-connection:" and "postgresql-lease-connection:" with the rest of a libpq URI,
/// through a pqxx::connection that it has, "flock:DIRECTORY", the example of a back end of one's own, and
/// "fencing:URL", with `options::fencing`, and "prefixed:TEXT:URL", with that before `options::key_prefix`.
[[nodiscard]] provider open_any(const std::string& url, options opt);

}  // namespace rowlock::test
