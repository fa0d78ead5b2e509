#pragma once

#include <string>

#include <rowlock/options.hpp>
#include <rowlock/provider.hpp>

namespace rowlock::sqlserver {

/// Application locks (`sp_getapplock`, owner Session) in connections of the provider's own: 16 at most, one of which
/// holds all locks that were free when they were asked for. A lock dies with its connection.
/// https://learn.microsoft.com/sql/relational-databases/system-stored-procedures/sp-getapplock-transact-sql
///
/// An exclusive lock is the resource of the same name, in mode Exclusive, of the database that is connected to, with
/// `@DbPrincipal` left at `public`: other programs can lock the same. Names that end in a blank, or start with
/// "rowlock:", are locked as a hash of them.
///
/// When not to: where a driver manager pools connections (`Pooling = Yes` in odbcinst.ini). A process that ends without
/// releasing its locks frees them all the same; a connection that goes back into such a pool does not.
///
/// ODBC shows no socket that could be watched. While a provider holds locks, an idle connection is asked for a sign of
/// life every 2 s; without one after `options::operation_timeout` its locks are lost. Each upgrade lock has a connection
/// of its own, so a provider has 15 of those at most.
///
/// A driver may not come back from a dead network. Waits, and the end of the provider, do not wait for it longer than an
/// operation timeout; what it still has in hand is left to a thread that ends with it. Other calls end when the driver's
/// own timeout is over, which is set to one more operation timeout, in whole seconds.
///
/// `options::owner` is the session's program name, unless the connection string has `APP`.
/// @param connection_string of ODBC: "DRIVER={FreeTDS};SERVER=...;PORT=1433;DATABASE=...;UID=...;PWD=..."
/// @throws connection_error
[[nodiscard]] provider applock(const std::string& connection_string, options opt = {});

}  // namespace rowlock::sqlserver
