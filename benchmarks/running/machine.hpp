#pragma once

#include <string>
#include <utility>
#include <vector>

#include "settings.hpp"

namespace bench {

/// What must be known of a machine and a run to understand its figures.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> describe_run(const settings& s);

/// This process, and all that it will start, on these CPUs: "0", "0,2" or "0-3".
/// @throws std::invalid_argument
void limit_to(const std::string& cpus);

}  // namespace bench
