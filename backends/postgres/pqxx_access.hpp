#pragma once

#include <rowlock/pqxx_types.hpp>

#include <libpq-fe.h>

namespace rowlock::postgres {

/// The libpq connection inside one of libpqxx; null while it is not connected. It stays libpqxx's own.
[[nodiscard]] PGconn* raw(pqxx_connection& c) noexcept;

/// Connects it, if that has not happened yet, and sees to it that libpqxx never connects it again: a new session would
/// hold none of the locks of the old one. From version 7 on it never does.
/// @throws connection_error
void connect_for_good(pqxx_connection& c);

/// The connection of `tx`, inside the transaction, which version 6 begins with its first statement only.
/// @throws std::logic_error `tx` is not, or not any more, an open transaction; or something else is going on in it
/// @throws connection_error
[[nodiscard]] PGconn* open_transaction(pqxx_transaction& tx);

}  // namespace rowlock::postgres
