#pragma once

#include <string>
#include <utility>
#include <vector>

#include "settings.hpp"

namespace bench {

/// What must be known of a machine and a run to understand its figures.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> describe_run(const settings& s);

/// How many processes wanted a CPU in the last minute: what else the machine does.
[[nodiscard]] std::string load();

/// This process, and all that it will start, on these CPUs: "0", "0,2" or "0-3".
/// @throws std::invalid_argument
void limit_to(const std::string& cpus);

}  // namespace bench
