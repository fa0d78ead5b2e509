#pragma once

#include <registry.hpp>

namespace rowlock::sqlserver {

extern const detail::backend_entry applock_entry, lease_entry, default_entry;

}  // namespace rowlock::sqlserver
