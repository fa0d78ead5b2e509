#pragma once

#include <chrono>
#include <memory>
#include <string>

namespace rowlock {

class observer;

/// "host:pid:program" of the calling process.
[[nodiscard]] std::string default_owner();

/// How a provider behaves. An aggregate; every field has a default. `provider`'s constructors check it and throw
/// `std::invalid_argument` with the name of the field that makes no sense.
struct options {
    /// Put before every name, so that several programs can share one database.
    std::string key_prefix{};

    /// Row leases: how long a silent holder keeps the lock. Renewed every third of it. 50 ms to 24 days.
    std::chrono::milliseconds ttl = std::chrono::seconds{30};

    /// Bound on one database operation, connecting included. At least 1 ms.
    std::chrono::milliseconds operation_timeout = std::chrono::seconds{5};

    /// What `status` shows as the holder. Not used to decide anything: two equal owners are two owners.
    std::string owner = default_owner();

    /// Hears what happens; may be null.
    std::shared_ptr<observer> events{};

    /// Fencing tokens on back ends that hold locks in a session: costs a durable commit for each grant, and the
    /// database must have been migrated. Row leases always have them.
    bool fencing = false;

    /// PostgreSQL, SQL Server: the schema of rowlock's tables. Leases in two schemas of one database have nothing to do
    /// with each other; advisory locks and applocks are in no schema. 1 to 63 letters, digits and underscores, not
    /// beginning with a digit; upper and lower case differ, as far as the database tells them apart.
    std::string schema = "rowlock";

    /// SQLite: use a database on a network file system all the same. Locking there is known to break: two holders
    /// are possible, and the file can be damaged. https://www.sqlite.org/howtocorrupt.html section 2.1
    bool allow_network_file_system = false;
};

}  // namespace rowlock
