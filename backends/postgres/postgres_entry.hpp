#pragma once

#include <registry.hpp>

namespace rowlock::postgres {

extern const detail::backend_entry advisory_entry, lease_entry, default_entry, short_entry;

/// How a database is, for `rowlock doctor`.
[[nodiscard]] std::vector<finding> diagnose_advisory(std::string_view rest, const options& opt);
[[nodiscard]] std::vector<finding> diagnose_leases(std::string_view rest, const options& opt);

}  // namespace rowlock::postgres
