#pragma once

#include <filesystem>

#include <rowlock/lock_handle.hpp>
#include <rowlock/options.hpp>
#include <rowlock/provider.hpp>

namespace SQLite {
class Database;
}

/// Row leases in a SQLite database, for the processes of one host.
namespace rowlock::sqlite {

/// Opens the locks in the database file `path`, which must exist and be migrated.
///
/// Beside it stands `PATH-rowlock`, through which processes wake each other and see each other die. Like SQLite's own
/// `-wal` and `-shm` it must not be deleted while the database is in use (if it is, dead holders are replaced only
/// after their time to live).
/// @throws connection_error no such file or directory, no permission, not a database, read-only, a network file system
/// @throws schema_error not migrated, or newer than this library
/// @throws std::invalid_argument an option makes no sense
[[nodiscard]] provider open(const std::filesystem::path& path, options opt = {});

/// The same on a connection that the caller has: locks are taken and given back on it, in transactions of their own,
/// by whichever thread asks; leases are renewed on a second connection to the same file.
///
/// While the caller has a transaction open, acquiring throws `std::logic_error` (a lease must not vanish with somebody
/// else's rollback), and releasing goes through the second connection.
/// @param db must outlive the provider and every handle; opened for threads (SQLite's default)
/// @throws as open(); std::invalid_argument if `db` has no file, or was opened with SQLITE_OPEN_NOMUTEX
[[nodiscard]] provider on(SQLite::Database& db, options opt = {});

/// Proves, inside the caller's open transaction on `db`, that `held` still holds its lock, and pins it: until that
/// transaction ends nobody can take the lock over. Call it before the first write.
///
/// SQLite has one writer at a time, so a renewal has to wait for the transaction too: keep it shorter than the time
/// to live, or `held.lost()` fires although the transaction itself stays protected.
/// @param db a connection to the database that the lock is in, inside a transaction (best `BEGIN IMMEDIATE`)
/// @throws lock_lost the lock is not held any more: roll back
/// @throws connection_error another writer is in the way (a deferred transaction that has read cannot wait: begin it
///         with BEGIN IMMEDIATE)
/// @throws std::logic_error no transaction is open, or the handle is empty
void fence(SQLite::Database& db, const lock_handle& held);

/// Creates the tables, or brings them up to date; see `rowlock::schema::migrate`.
void migrate(SQLite::Database& db);
/// The same for a file, which is created if there is none.
void migrate(const std::filesystem::path& path);

}  // namespace rowlock::sqlite
