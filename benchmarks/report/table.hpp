#pragma once

#include <string>
#include <vector>

#include "compare.hpp"
#include "report.hpp"

namespace bench {

/// Cells, the first row being the heads of the columns.
using grid = std::vector<std::vector<std::string>>;

/// The measurements of one suite: a row for each, below it one of its baseline, and the ratios of the two.
[[nodiscard]] grid grid_of(const std::vector<const measurement*>& suite);
[[nodiscard]] grid grid_of(const std::vector<target_row>& targets);
/// Names of the suites, in the order of the report, each with its measurements.
[[nodiscard]] std::vector<std::pair<std::string, std::vector<const measurement*>>> by_suite(const report& r);

/// For a terminal: columns below each other. `left`: so many columns are text, and begin on the left.
[[nodiscard]] std::string format(const grid& g, std::size_t left);
[[nodiscard]] std::string to_text(const report& r);
[[nodiscard]] std::string to_text(const comparison& c);

}  // namespace bench
