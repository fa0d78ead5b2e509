#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace bench {

/// The smallest of `sorted` that `percent` of all are not greater than; nearest rank. 0 if there are none.
[[nodiscard]] double percentile(std::span<const double> sorted, double percent);

/// Of an unsorted series; the mean of the middle two if their number is even. 0 if there are none.
[[nodiscard]] double median(std::vector<double> values);

/// Durations in microseconds, in ascending order.
[[nodiscard]] std::vector<double> sorted_microseconds(std::span<const std::int64_t> nanoseconds);

/// Points (value, share of all that are not greater) of the distribution of `sorted`, enough to draw it.
[[nodiscard]] std::vector<std::pair<double, double>> distribution_points(std::span<const double> sorted);

/// How two series of blocks that were run in turns relate: the median of the ratios of one block to its partner. What
/// disturbs the machine for a while disturbs both partners, and few blocks. Pairs with a zero or a gap do not count.
[[nodiscard]] double ratio_of_blocks(std::span<const double> ours, std::span<const double> theirs);

/// The smallest by the largest.
[[nodiscard]] double fairness(std::span<const std::size_t> shares);

}  // namespace bench
