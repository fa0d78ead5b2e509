#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <report/report.hpp>
#include <report/statistics.hpp>
#include <running/settings.hpp>

#include "passes.hpp"

// What the suites have in common whose rows are measured in several passes.

namespace bench {

/// Those of one placement on CPUs after those of another: servers are moved as seldom as can be.
template <class Row>
[[nodiscard]] std::vector<Row*> in_order_of_placement(std::vector<Row>& rows) {
    std::vector<Row*> order;
    for (auto& row : rows) order.push_back(&row);
    std::stable_sort(order.begin(), order.end(), [](const Row* a, const Row* b) { return a->cpus() < b->cpus(); });
    return order;
}

/// Measures the rows of a suite, as often as the settings say, or else as `plan` does.
template <class Row>
void measure_rows(std::vector<Row>& rows, const settings& s, const std::string& suite, pass_plan plan) {
    if (s.passes > 0) plan = {.least = s.passes, .least_alone = s.passes, .most = s.passes};
    run_passes(
        in_order_of_placement(rows), plan, [] { return now(); },
        [&](const Row& row, double over) {
            s.shown->show(suite + ": " + row.title(), static_cast<std::size_t>(over * 1000), 1000);
        });
}

/// A ratio that is not sure is told as its range.
inline void set_ratio(figure& f, const std::optional<ratio_estimate>& ratio) {
    if (!ratio) return;
    f.range = ratio->range;
    if (ratio->sure()) f.ratio = ratio->value;
}

}  // namespace bench
