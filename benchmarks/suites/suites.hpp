#pragma once

#include <report/report.hpp>
#include <running/settings.hpp>

namespace bench {

/// Each measures all back ends of the settings, and adds to the report.
void measure_latency(const settings& s, report& r);
void measure_contention(const settings& s, report& r);
void measure_scale(const settings& s, report& r);
void measure_recovery(const settings& s, report& r);

/// What only the targets ask for, and then the verdicts on all of them.
void measure_targets(const settings& s, report& r);

}  // namespace bench
