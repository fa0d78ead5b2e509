#pragma once

#include <registry.hpp>

namespace rowlock::sqlserver {

[[nodiscard]] std::vector<finding> diagnose_applocks(std::string_view rest, const options& opt);

extern const detail::backend_entry applock_entry, default_entry;

}  // namespace rowlock::sqlserver
