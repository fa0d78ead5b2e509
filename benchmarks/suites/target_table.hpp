#pragma once

#include <report/report.hpp>

namespace bench {

/// The verdicts on what the library must cost, from what was measured; README.md has the same table.
void judge_targets(report& r);

}  // namespace bench
