#pragma once

#include <string>

#include <rowlock/options.hpp>

#include <row_leases.hpp>

#include "lease_store.hpp"

namespace rowlock::sqlserver {

/// Row leases. That an operator broke one, a holder hears when it is next renewed.
class lease_backend final : public detail::row_leases<lease_store> {
public:
    /// Connects when it is first used.
    lease_backend(const std::string& connection_string, const options& opt);
};

}  // namespace rowlock::sqlserver

extern template class rowlock::detail::row_leases<rowlock::sqlserver::lease_store>;
