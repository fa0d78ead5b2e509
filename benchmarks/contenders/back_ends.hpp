#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "client.hpp"

namespace bench {

/// What a database server says about itself, over a connection of its own.
class server_monitor {
public:
    server_monitor() = default;
    virtual ~server_monitor() = default;
    server_monitor(const server_monitor&) = delete;
    server_monitor& operator=(const server_monitor&) = delete;

    /// Sessions whose owner has that name.
    virtual std::size_t connections(const std::string& owner) = 0;
    /// Statements a second that they run, watched for so long. Looks 50 times a second, and so sees no more than 50 of
    /// one session.
    virtual double statements_per_second(const std::string& owner, std::chrono::milliseconds time) = 0;
    /// Bytes of its log written so far, by everybody.
    virtual std::int64_t log_bytes() = 0;
    struct wear {
        double table_bytes = 0, updates = 0, updates_in_place = 0;
    };
    /// The table of leases in that schema, so far. The server's counters lag a second behind.
    virtual wear worn(const std::string& schema) = 0;
    virtual void drop_schema(const std::string& schema) = 0;
    /// Ends the sessions of that owner from the server's side.
    virtual void cut_off(const std::string& owner) = 0;
    /// Whether it writes to disk what it commits, from now on and for everybody.
    virtual void wait_for_disk(bool yes) = 0;
    /// "PostgreSQL 15.3, fsync on"
    virtual std::string description() = 0;
};

/// One kind of URL: what it is compared with, and what else is known of it.
struct back_end {
    std::string_view scheme;  ///< "sqlite:"; without its colon it is the name in every table
    std::string_view baseline_name;
    /// Null: there is no such client on this back end, or for this work. `rest` is what follows the scheme.
    std::unique_ptr<client> (*baseline)(const std::string& rest, const client_spec& s);
    bool library = true;       ///< false: something that users pick instead of Rowlock, only to compare with
    bool processes = true;     ///< it works across processes
    bool server = true;        ///< a process of its own does the work
    bool ends_by_ttl = false;  ///< a holder that is silent loses the lock
    /// A client of the library on a connection that is the caller's; null if there is no such thing.
    std::unique_ptr<client> (*borrowed)(const std::string& rest, const client_spec& s) = nullptr;
    std::unique_ptr<server_monitor> (*monitor)(const std::string& rest) = nullptr;
};

/// The kinds in this build.
[[nodiscard]] std::span<const back_end> back_ends();

/// @throws std::invalid_argument no such kind of URL in this build
[[nodiscard]] const back_end& back_end_of(std::string_view url);
[[nodiscard]] std::string rest_of(const std::string& url);
/// The scheme without its colon: "sqlite".
[[nodiscard]] std::string name_of(std::string_view url);

/// Null: there is no such client.
[[nodiscard]] std::unique_ptr<client> make_client(const client_spec& s);
/// Whether the back end has what the work needs.
[[nodiscard]] bool supports(const std::string& url, work w);

/// What each file of this directory has; for the table.
std::unique_ptr<client> memory_baseline(const std::string& rest, const client_spec& s);
std::unique_ptr<client> sqlite_baseline(const std::string& rest, const client_spec& s);
std::unique_ptr<client> postgres_advisory_baseline(const std::string& rest, const client_spec& s);
std::unique_ptr<client> postgres_lease_baseline(const std::string& rest, const client_spec& s);
std::unique_ptr<client> postgres_advisory_borrowed(const std::string& rest, const client_spec& s);
std::unique_ptr<server_monitor> postgres_monitor(const std::string& rest);
std::unique_ptr<client> applock_baseline(const std::string& rest, const client_spec& s);
std::unique_ptr<client> sqlserver_lease_baseline(const std::string& rest, const client_spec& s);
std::unique_ptr<client> flock_client(const std::string& rest, const client_spec& s);
std::unique_ptr<client> redis_client(const std::string& rest, const client_spec& s);
std::unique_ptr<client> mariadb_client(const std::string& rest, const client_spec& s);

}  // namespace bench
