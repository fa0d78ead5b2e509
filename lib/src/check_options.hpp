#pragma once

#include <rowlock/options.hpp>

namespace rowlock::detail {

/// @throws std::invalid_argument naming the field that makes no sense, and what would
void check(const options& opt);

}  // namespace rowlock::detail
