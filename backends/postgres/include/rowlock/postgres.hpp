#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include <rowlock/deadline.hpp>
#include <rowlock/lock_handle.hpp>
#include <rowlock/options.hpp>
#include <rowlock/pqxx_types.hpp>
#include <rowlock/provider.hpp>

/// Locks in a PostgreSQL database.
namespace rowlock::postgres {

/// Advisory locks in sessions of the provider's own: nothing has to be installed in the database, and nothing is
/// written. They end with their session: with the process, the connection, or the server.
///
/// With `options::fencing` every grant has a fencing token, from the counter that leases of the same name use, too.
/// That needs the migrations, and a durable commit for each grant, in the same round trip; after a wait it takes one
/// more. A busy try writes nothing even then.
///
/// When not to: behind a pooler that gives every transaction another session (refused), or where a holder has to
/// survive a lost connection; both is what `leases` are for.
///
/// While somebody waits, its session holds a snapshot, as every running statement does: VACUUM keeps what became dead
/// since, and CREATE INDEX CONCURRENTLY waits for the wait.
/// @param text a connection string or URI, as libpq takes it
/// @throws std::invalid_argument libpq cannot read it, or an option makes no sense
/// @throws connection_error the server cannot be reached; unsupported there is such a pooler in between
/// @throws schema_error with `options::fencing`: not migrated, or newer than this library
[[nodiscard]] provider advisory(const std::string& text, options opt = {});

/// Row leases in the tables of schema `rowlock`: they survive lost connections, poolers and restarts of the server, and
/// have fencing tokens. Needs the migrations.
///
/// Who waits is woken in the order in which they came; behind a transaction pooler, where no session can be had,
/// everybody asks again 20 to 30 times a second, in no order.
/// @throws as advisory(); schema_error not migrated, or newer than this library
[[nodiscard]] provider leases(const std::string& text, options opt = {});

/// Advisory locks in the session of a connection that the caller has: they are the session's own, beside whatever else
/// it holds, and end with it. One more connection is opened, with the parameters of `conn`, when a wait first has to be
/// ended early.
///
/// While a transaction is open on `conn`, acquiring throws `std::logic_error`: end it first, or take the lock in it
/// with `lock(tx, ...)`. Releasing works inside it; but not in one that has failed, or while a pipeline or COPY is
/// going on: then `release()` throws, the destructor tells the observer, and either way the lock is given back when the
/// provider is next used, or ends. Nothing is set on the connection, and libpqxx is kept from connecting it again by
/// itself (6.x: `inhibit_reactivation`). Closed or connected anew, it is another session: every lock is lost, and the
/// provider answers with `connection_error` from then on.
///
/// It does one thing at a time. Who waits gives way when another thread uses the provider, and is then the last of
/// those who wait. Waiting without limit, and without a stop token, for what the same thread holds through this
/// provider throws `deadlock_detected`.
/// @param conn must outlive the provider and every handle, and be used by no other thread while one of them is in use,
///        or waits. One provider for each connection.
/// @throws std::logic_error a transaction is open on `conn`, or another such provider lives on it
/// @throws as advisory()
[[nodiscard]] provider advisory_on(pqxx_connection& conn, options opt = {});

/// Row leases in the database that `conn` is connected to. Leases have to be renewed while a transaction of the
/// caller's runs, and must not go with its rollback: so the provider opens a few connections of its own, with the
/// parameters of `conn`, password included. `conn` itself is left alone, may have a transaction open, and need not
/// outlive anything.
/// @throws as leases()
[[nodiscard]] provider leases_on(pqxx_connection& conn, options opt = {});

/// Locks in the caller's open transaction, released by its commit or rollback, or by a rollback to a savepoint that was
/// set before; there is no other way. They are the advisory locks that `advisory()` takes under the same full name, and
/// exclude those, but not what the same connection holds already. Nothing has to be installed; read-only transactions,
/// standbys and transaction poolers will do.
///
/// When not to: in REPEATABLE READ and SERIALIZABLE, to wait for what the last holder has written. The transaction's
/// snapshot is taken before the wait, so it does not see that; writing to it fails with 40001. Use READ COMMITTED, or a
/// lock that is acquired before the transaction begins.
///
/// A lock that is not granted, for whatever reason, neither ends nor spoils the transaction, and nothing is held of it.
/// The transaction's own `statement_timeout` and `lock_timeout` play no part in the wait, and are as before after it.
///
/// try_lock: false, somebody else has it and the wait is over. Without a duration it does not wait: one round trip.
/// With one it blocks until then, and for 5 s longer if the server does not answer; the server counts in milliseconds,
/// rounded up. lock: without limit, or until `stop` is requested.
///
/// @param tx an open transaction of any kind but `pqxx::nontransaction`, used by no other thread meanwhile
/// @param name the full name: 1 to 255 bytes of UTF-8 without NUL; no prefix is put before it
/// @throws cancelled `stop` was requested, or somebody else cancelled the statement
/// @throws deadlock_detected PostgreSQL ended the wait because it closed a circle of waits
/// @throws connection_error the server has no room for more locks, or the connection failed; only in the latter case
///         the transaction is over
/// @throws std::invalid_argument the name; std::logic_error no transaction is open, or it has failed before
void lock(pqxx_transaction& tx, std::string_view name, std::stop_token stop = {});
void lock_shared(pqxx_transaction& tx, std::string_view name, std::stop_token stop = {});
[[nodiscard]] bool try_lock(pqxx_transaction& tx, std::string_view name, const wait_bound& w = {});
[[nodiscard]] bool try_lock_shared(pqxx_transaction& tx, std::string_view name, const wait_bound& w = {});
template <class Rep, class Period>
[[nodiscard]] bool try_lock(pqxx_transaction& tx, std::string_view name, std::chrono::duration<Rep, Period> wait,
                            std::stop_token stop = {}) {
    return try_lock(tx, name, wait_bound{deadline::after(wait), std::move(stop)});
}
template <class Rep, class Period>
[[nodiscard]] bool try_lock_shared(pqxx_transaction& tx, std::string_view name, std::chrono::duration<Rep, Period> wait,
                                   std::stop_token stop = {}) {
    return try_lock_shared(tx, name, wait_bound{deadline::after(wait), std::move(stop)});
}

/// Proves, inside the caller's open transaction, that `held` still holds its lease, and pins it: until that transaction
/// ends nobody can take the lock over, while the holder's own renewals go on. Call it before the first write.
///
/// One round trip; it waits for the commit of somebody who is just taking the lock, one `operation_timeout` at most. In
/// REPEATABLE READ and SERIALIZABLE begin the transaction while you hold the lock; if it was renewed since, the
/// provider is asked as well. Works through transaction poolers.
/// @param tx in the database that the lease is in
/// @throws lock_lost it is not held any more: roll back, nothing of this transaction is protected. In REPEATABLE READ
///         and SERIALIZABLE the transaction may have failed by itself (`sqlstate()` is 40001)
/// @throws connection_error it could not be asked; with 40001: it was acquired after the transaction's snapshot
/// @throws unsupported `held` is an advisory lock; std::invalid_argument it is not held in PostgreSQL
/// @throws std::logic_error no transaction is open, or it has failed before, or the handle is empty
void fence(pqxx_transaction& tx, const lock_handle& held);

/// Creates the tables, or brings them up to date, through the caller's connection; see `rowlock::schema::migrate`.
/// @param opt which schema the tables are in
/// @throws std::logic_error a transaction is open on it
void migrate(pqxx_connection& conn, const options& opt = {});

}  // namespace rowlock::postgres
