#pragma once

#include <vector>

#include <rowlock/doctor.hpp>

#include "session.hpp"

namespace rowlock::postgres {

/// Whom `rowlock doctor` examines, over a connection on which nothing was set: as the program's own ones are.
struct examination {
    session& s;
    const deadline d;
    const bool leases;  ///< row leases are meant, not advisory locks

    /// What spoils leases, and is without importance for locks that end with the server.
    [[nodiscard]] severity bad_for_leases() const { return leases ? severity::problem : severity::advice; }
};

[[nodiscard]] inline finding good(std::string what, std::string found) {
    return {severity::good, std::move(what), std::move(found), {}};
}

// The server and how it is set up. Each is one round trip.
[[nodiscard]] finding check_version(const examination& e);
[[nodiscard]] finding check_recovery(const examination& e);
[[nodiscard]] finding check_read_only(const examination& e);
[[nodiscard]] finding check_timeouts(const examination& e);
[[nodiscard]] finding check_isolation(const examination& e);
[[nodiscard]] finding check_durability(const examination& e);
[[nodiscard]] finding check_standbys(const examination& e);
[[nodiscard]] finding check_lock_table(const examination& e);
[[nodiscard]] finding check_snapshots(const examination& e);
[[nodiscard]] finding check_language(const examination& e);
/// How the server notices that a client is gone; on a connection that was made fit for locks.
[[nodiscard]] finding check_keepalives(const examination& e);

// Rowlock's tables; only where they are.
[[nodiscard]] finding check_privileges(const examination& e);
[[nodiscard]] finding check_persistence(const examination& e);
[[nodiscard]] finding check_hot_updates(const examination& e);

}  // namespace rowlock::postgres
