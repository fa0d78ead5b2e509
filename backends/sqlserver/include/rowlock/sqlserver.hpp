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
/// A lost connection is noticed when it is next used. Each upgrade lock has a connection of its own, so a provider has
/// 15 of those at most.
/// @param connection_string of ODBC: "DRIVER={FreeTDS};SERVER=...;PORT=1433;DATABASE=...;UID=...;PWD=..."
/// @throws connection_error
[[nodiscard]] provider applock(const std::string& connection_string, options opt = {});

}  // namespace rowlock::sqlserver
