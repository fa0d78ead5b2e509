#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include <sqltypes.h>  // SQLHDBC

#include <rowlock/deadline.hpp>
#include <rowlock/lock_handle.hpp>
#include <rowlock/options.hpp>
#include <rowlock/provider.hpp>

/// Locks in a SQL Server database, over ODBC.
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
/// life every 2 s; without one after `options::operation_timeout` its locks are lost. Each upgrade lock has a
/// connection of its own, so a provider has 15 of those at most.
///
/// A semaphore asks for its permits one by one, from one by chance on, each with a round trip, and for 1,024 of them at
/// most: where those are all taken, and it has more, it throws `unsupported`. Leases count theirs in one row.
///
/// A driver may not come back from a dead network. Waits, and the end of the provider, do not wait for it longer than
/// an operation timeout; what it still has in hand is left to a thread that ends with it. Other calls end when the
/// driver's own timeout is over, which is set to one more operation timeout, in whole seconds.
///
/// With `options::fencing` every grant has a token, which costs one more round trip and a durable commit. The counter
/// is the one of leases of the same name, in the tables of the database that is connected to; where it cannot be
/// raised, the error is told and the lock is not held. When not to: in a database with DELAYED_DURABILITY = FORCED,
/// where a crash has tokens given out again.
///
/// `options::owner` is the session's program name, unless the connection string has `APP`.
/// @param connection_string of ODBC: "DRIVER={FreeTDS};SERVER=...;PORT=1433;DATABASE=...;UID=...;PWD=..."
/// @throws connection_error; schema_error with `options::fencing`: not migrated, or newer than this library
[[nodiscard]] provider applock(const std::string& connection_string, options opt = {});

/// Application locks (owner Session) in the session of a connection that the caller has: they are the session's own,
/// beside whatever else it holds, and end with it. No other connection is opened. There are no upgrade locks: those
/// need a session each.
///
/// Inside a transaction of the caller's both acquiring and releasing work, at once: its rollback changes nothing of
/// them. Statements are the library's own; attributes of the connection, and the settings of its session, are left
/// alone. With autocommit off SQL Server begins no transaction for these calls (a driver that begins one itself may:
/// FreeTDS has one open all the time, psqlODBC begins one with any statement).
///
/// A token (`options::fencing`) must not be part of a transaction of the caller's, whose rollback would take it back.
/// So with tokens, acquiring inside of one throws `std::logic_error`, and nothing is held; releasing works as ever.
///
/// The connection does one thing at a time. While a result of the caller's has not been read to its end (a driver
/// without MARS, such as FreeTDS), acquiring throws `std::logic_error`, and the result is left as it is. Then
/// `release()` throws `connection_error`, the destructor tells the observer, and either way the lock is given back when
/// the provider is next used, or ends. Who waits gives way when another thread uses the provider (with SQLCancel), and
/// is then the last of those who wait. Waiting without limit, and without a stop token, for what the same thread holds
/// through this provider throws `deadlock_detected`.
///
/// A lost connection is noticed when it is next used, and so is one that was closed: every lock is lost, and the
/// provider answers with `connection_error` from then on. Connect it anew when the provider and its handles are gone:
/// before that it is mostly noticed, but ODBC does not tell for sure where other threads open and close connections and
/// statements.
/// @param conn connected; must not be freed before the provider and every handle are gone, and be used by no other
///        thread, nor closed, while one of them is in use, ends, or waits. One provider for each connection.
/// @throws std::invalid_argument no handle; std::logic_error another such provider lives on it
/// @throws connection_error it is not connected
/// @throws schema_error, std::logic_error with `options::fencing`: not migrated; a transaction is open
[[nodiscard]] provider applock_on(SQLHDBC conn, options opt = {});

/// Locks in the caller's open transaction (`sp_getapplock`, owner Transaction), released by its commit or rollback;
/// there is no other way. They are the application locks that `applock()` takes under the same full name, and exclude
/// those of other connections. Nothing has to be installed.
///
/// A transaction is open after BEGIN TRANSACTION, or where SQL_ATTR_AUTOCOMMIT is off; there this may be its first
/// statement, at the price of one more round trip.
///
/// When not to: under SNAPSHOT isolation, to wait for what the last holder has written: the transaction may see what
/// was there before the wait, and writing to it fails with error 3960. Use READ COMMITTED, or a lock that is acquired
/// before the transaction begins.
///
/// A lock that is not granted, for whatever reason, does not end the transaction, and nothing is held of it; but after
/// `deadlock_detected` roll back, because others wait for what the transaction has locked. With SET XACT_ABORT ON,
/// SQL Server itself rolls back when a wait is ended by `stop`, or by a server that does not answer in time.
///
/// try_lock: false, somebody else has it and the wait is over. Without a duration it does not wait: one round trip.
/// With one it blocks until then; 5 s later the call is ended with SQLCancel if the server has not answered. The server
/// counts in milliseconds, rounded up. lock: without limit, or until `stop` is requested.
///
/// @param conn connected, with an open transaction, used by no other thread meanwhile
/// @param name the full name: 1 to 255 bytes of UTF-8 without NUL; no prefix is put before it
/// @throws cancelled `stop` was requested
/// @throws deadlock_detected SQL Server ended the wait because it closed a circle of waits
/// @throws connection_error the connection failed, or the server refused
/// @throws std::invalid_argument the name, or no handle; std::logic_error no transaction is open, or a result has not
///         been read to its end
void lock(SQLHDBC conn, std::string_view name, std::stop_token stop = {});
void lock_shared(SQLHDBC conn, std::string_view name, std::stop_token stop = {});
[[nodiscard]] bool try_lock(SQLHDBC conn, std::string_view name, const wait_bound& w = {});
[[nodiscard]] bool try_lock_shared(SQLHDBC conn, std::string_view name, const wait_bound& w = {});
template <class Rep, class Period>
[[nodiscard]] bool try_lock(SQLHDBC conn, std::string_view name, std::chrono::duration<Rep, Period> wait,
                            std::stop_token stop = {}) {
    return try_lock(conn, name, wait_bound{deadline::after(wait), std::move(stop)});
}
template <class Rep, class Period>
[[nodiscard]] bool try_lock_shared(SQLHDBC conn, std::string_view name, std::chrono::duration<Rep, Period> wait,
                                   std::stop_token stop = {}) {
    return try_lock_shared(conn, name, wait_bound{deadline::after(wait), std::move(stop)});
}
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

/// Row leases through a connection that the caller has, and through no other: ODBC does not give its password away.
/// They are the same leases that `leases()` takes.
///
/// **Nothing renews them but `lock_handle::verify()`.** No thread of the library's touches the connection, so a lease
/// lasts one `options::ttl` from when it was acquired or last verified; `valid_until()` says how long, and `lost()`
/// fires before it ends. Give `ttl` the longest stretch between two calls of `verify()`. That an operator broke a lease
/// is heard by `verify()`, too.
///
/// When not to: where `leases()` can be used, which renews by itself and queues those who wait.
///
/// A lease must not be part of a transaction of the caller's: others would not see it before the commit, and a rollback
/// would undo it. So while one is open (@@TRANCOUNT, asked in the same batch), or a result has not been read to its end
/// (without MARS), nothing is done. Acquiring throws `std::logic_error`; `verify()` throws `connection_error`, and the
/// lease goes on for what it has left; `release()` throws `connection_error`, the destructor tells the observer, and
/// either way the lease is given back when the provider is next used, or ends, unless it runs out before.
///
/// Who waits asks again and again, about 30 times a second, in no order. Batches run at READ COMMITTED or below, with
/// XACT_ABORT on; settings of the session and attributes of the connection come out as they went in. The session's
/// LOCK_TIMEOUT applies.
///
/// A connection that is lost, or closed, takes no lease with it; but none can be renewed any more, so they run out, and
/// the provider answers with `connection_error` from then on. Connect it anew when the provider and its handles are
/// gone, as with applock_on().
/// @param conn connected, autocommit on, no transaction open; stays in its database; must not be freed before the
///        provider and every handle are gone, and be used by no other thread, nor closed, while one of them is in use,
///        ends, or waits. One provider for each connection.
/// @throws std::logic_error autocommit is off, a transaction is open, a result is being read, or another such provider
///         lives on the connection; std::invalid_argument no handle
/// @throws connection_error; schema_error not migrated, or newer than this library
[[nodiscard]] provider leases_on(SQLHDBC conn, options opt = {});

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

/// The same through a connection of the caller's, whose settings come out as they went in. It has a transaction of its
/// own, and none of the caller's must be around that, which could roll it back later.
/// @param conn connected, autocommit on, no transaction open, used by no other thread meanwhile
/// @throws std::logic_error autocommit is off, a transaction is open, or a result is being read: nothing was done
/// @throws std::invalid_argument no handle
void migrate(SQLHDBC conn, const options& opt = {});

}  // namespace rowlock::sqlserver
