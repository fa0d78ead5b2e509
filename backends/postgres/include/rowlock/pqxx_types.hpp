#pragma once

#include <pqxx/version>

// The two classes of libpqxx that <rowlock/postgres.hpp> speaks of, without their definitions. Version 7 made one class
// of all connections; before that they had a common base, which lazy and asynchronous ones share.
namespace pqxx {
#if PQXX_VERSION_MAJOR < 7
class connection_base;
#else
class connection;
#endif
class transaction_base;
}  // namespace pqxx

namespace rowlock::postgres {
#if PQXX_VERSION_MAJOR < 7
using pqxx_connection = ::pqxx::connection_base;
#else
using pqxx_connection = ::pqxx::connection;
#endif
using pqxx_transaction = ::pqxx::transaction_base;
}  // namespace rowlock::postgres
