#pragma once

#include <registry.hpp>

namespace rowlock::sqlserver {

[[nodiscard]] std::vector<finding> diagnose_applocks(std::string_view rest, const options& opt);
/// The same, and the tables.
[[nodiscard]] std::vector<finding> diagnose_leases(std::string_view rest, const options& opt);

extern const detail::backend_entry applock_entry, lease_entry, default_entry;

}  // namespace rowlock::sqlserver
