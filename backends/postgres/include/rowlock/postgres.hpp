#pragma once

#include <string>

#include <rowlock/options.hpp>
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
/// @param conninfo a connection string or URI, as libpq takes it
/// @throws std::invalid_argument libpq cannot read it, or an option makes no sense
/// @throws connection_error the server cannot be reached; unsupported there is such a pooler in between
/// @throws schema_error with `options::fencing`: not migrated, or newer than this library
[[nodiscard]] provider advisory(const std::string& conninfo, options opt = {});

/// Row leases in the tables of schema `rowlock`: they survive lost connections, poolers and restarts of the server, and
/// have fencing tokens. Needs the migrations.
///
/// Who waits is woken in the order in which they came; behind a transaction pooler, where no session can be had,
/// everybody asks again up to a hundred times a second, in no order.
/// @throws as advisory(); schema_error not migrated, or newer than this library
[[nodiscard]] provider leases(const std::string& conninfo, options opt = {});

}  // namespace rowlock::postgres
