#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
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

/// A ratio, and how sure it is.
struct ratio_estimate {
    double value = 0;
    /// The 95 % confidence interval of the median, by the ranks of the blocks; empty if there are fewer than six.
    std::optional<std::pair<double, double>> range{};
};

/// How two series of blocks that were run in turns relate: the median of the ratios of one block to its partner. What
/// disturbs the machine for a while disturbs both partners, and few blocks. Empty if nothing can be said: there are no
/// pairs, or in the middle one the baseline did nothing.
[[nodiscard]] std::optional<ratio_estimate> ratio_of_blocks(std::span<const double> ours,
                                                            std::span<const double> theirs);

/// The same for a percentile, of durations that are kept block by block. Neighboring blocks are put together until ten
/// durations on either side are beyond the percentile, as fewer say nothing about it. Empty if there are not so many.
[[nodiscard]] std::optional<ratio_estimate> ratio_of_percentiles(std::span<const std::vector<std::int64_t>> ours,
                                                                 std::span<const std::vector<std::int64_t>> theirs,
                                                                 double percent);

/// The smallest by the largest.
[[nodiscard]] double fairness(std::span<const std::size_t> shares);

}  // namespace bench
