#pragma once

#include <string>

#include <sqltypes.h>  // SQLHDBC

#include <rowlock/lock_handle.hpp>
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

/// Row leases in the tables of schema `rowlock`: they survive lost connections and restarts of the server, and have
/// fencing tokens. Needs the migrations.
///
/// Who waits is woken in the order in which they came, by applocks that stand beside the row. That an operator broke a
/// lease, its holder hears when it is next renewed: after a third of its time to live, at most.
///
/// When not to: in a database with DELAYED_DURABILITY = FORCED, where a crash takes grants back, and their tokens are
/// given out again.
/// @param connection_string of ODBC
/// @throws connection_error; schema_error not migrated, or newer than this library
[[nodiscard]] provider leases(const std::string& connection_string, options opt = {});

/// Proves, inside the transaction that is open on `conn`, that `held` still holds its lease, and pins it: until that
/// transaction ends nobody can take the lock over, while the holder's own renewals go on. Call it before the first
/// write. The pin is an applock of the transaction: it does not end with a savepoint.
///
/// One round trip; it waits for the commit of somebody who is just taking the lock, one `operation_timeout` at most.
/// The attributes of the connection, and the settings of its session, are left alone.
/// @param conn in the database that the lease is in, READ COMMITTED
/// @throws lock_lost it is not held any more: roll back, nothing of this transaction is protected
/// @throws connection_error it could not be asked; deadlock_detected
/// @throws unsupported `held` is an applock, or the isolation level is above READ COMMITTED
/// @throws std::invalid_argument it is not held in SQL Server
/// @throws std::logic_error no transaction is open, or the handle is empty
void fence(SQLHDBC conn, const lock_handle& held);

/// Creates the tables, or brings them up to date; see `rowlock::schema::migrate`.
/// @param opt which schema the tables are in
void migrate(const std::string& connection_string, const options& opt = {});

/// The same through a connection of the caller's, with no transaction open. The session has XACT_ABORT and NOCOUNT on
/// after that.
void migrate(SQLHDBC conn, const options& opt = {});

}  // namespace rowlock::sqlserver
