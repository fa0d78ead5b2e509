#pragma once

#include <string>

#include <connection_pool.hpp>
#include <row_leases.hpp>

#include "lease_store.hpp"

namespace rowlock::sqlserver {

/// ODBC, and the thread that ends its calls: below the sessions that use them.
struct odbc_of_leases {
    odbc::environment environment{lease_store::name};
    odbc::canceler canceler{};
};

/// Row leases. That an operator broke one, a holder hears when it is next renewed.
class lease_backend final : odbc_of_leases, public detail::row_leases<lease_store> {
public:
    /// Connects when it is first used.
    lease_backend(const std::string& connection_string, const std::string& schema);
};

}  // namespace rowlock::sqlserver

extern template class rowlock::detail::row_leases<rowlock::sqlserver::lease_store>;
