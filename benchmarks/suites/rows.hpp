#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include <report/report.hpp>
#include <report/statistics.hpp>

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

inline void set_ratio(figure& f, const std::optional<ratio_estimate>& ratio) {
    if (!ratio) return;
    f.ratio = ratio->value;
    f.range = ratio->range;
}

}  // namespace bench
