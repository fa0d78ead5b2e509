#pragma once

#include <filesystem>

#include "report.hpp"

namespace bench {

/// Writes README.md into `directory`, for a repository: what the run was, the targets, the ratios, and the charts,
/// which are files beside it. Charts of an earlier run are removed.
/// @throws std::runtime_error a file cannot be written
void write_results(const std::filesystem::path& directory, const report& r);

}  // namespace bench
