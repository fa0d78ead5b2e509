#pragma once

#include <string>
#include <string_view>

#include <rowlock/options.hpp>

#include <libpq-fe.h>

namespace rowlock::postgres {

/// Where a session connects to, and as whom it shows up there.
struct conninfo {
    std::string text;    ///< a connection string or URI, as libpq takes it
    std::string owner;   ///< application_name, unless `text` has one
    std::string schema;  ///< which the tables are in

    /// @throws std::invalid_argument libpq cannot read `text`; nothing was opened
    conninfo(std::string text, const options& opt);
};

/// How to get to the same server and database as an open connection, in the same role: its own parameters, password
/// included, but not the name that it shows there.
[[nodiscard]] conninfo conninfo_of(PGconn* c, const options& opt);

/// What stands behind the scheme of one of our URLs is libpq's own: "//host/database" is the rest of a URI, anything
/// else a connection string of "key=value" pairs.
[[nodiscard]] std::string conninfo_in_url(std::string_view rest);

}  // namespace rowlock::postgres
