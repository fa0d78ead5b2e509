#pragma once

#include <string>
#include <vector>

#include "report.hpp"

namespace bench {

/// A chart of a report.
struct chart {
    std::string name{};  ///< "latency-1-thread-one-CPU", for a file
    std::string title{};
    std::string svg{};  ///< as it stands in a page with chart_style
};

/// Of all suites: what took how many times as long as the baseline.
[[nodiscard]] std::vector<chart> ratio_charts(const report& r);
/// Those of one suite.
[[nodiscard]] std::vector<chart> charts_of(const std::string& suite, const std::vector<const measurement*>& all);

}  // namespace bench
