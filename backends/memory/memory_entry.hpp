#pragma once

#include <registry.hpp>

namespace rowlock::memory {

extern const detail::backend_entry entry;

}  // namespace rowlock::memory
