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

/// From the least to the greatest that a value may be.
using value_range = std::pair<double, double>;

/// The 95 % confidence interval of the median of what `values` are a sample of, by their ranks: how many of n are below
/// the median is binomial, whatever the distribution. Empty if there are fewer than six: of five, all are on the same
/// side of it once in 16 times.
[[nodiscard]] std::optional<value_range> median_range(std::vector<double> values);

/// How much wider the upper end of a sure ratio's range may be than the lower one.
inline constexpr double sure_within = 0.15;
/// Whether a range is narrow enough to speak of one ratio.
[[nodiscard]] bool is_sure(const value_range& r);

/// A ratio, and how sure it is.
struct ratio_estimate {
    double value = 0;                    ///< the median
    std::optional<value_range> range{};  ///< where it is with 95 % confidence; empty if there is too little to tell

    [[nodiscard]] bool sure() const { return range && is_sure(*range); }
};

/// From the ratios of several passes, each of which had connections of its own: what a connection happened to get lasts
/// as long as it does, so blocks of one pass tell less about the next run than their number promises. Empty if there
/// are none, or in the middle one the baseline did nothing.
[[nodiscard]] std::optional<ratio_estimate> estimate(std::vector<double> ratios);

/// How two series of blocks that were run in turns relate: the median of the ratios of one block to its partner. What
/// disturbs the machine for a while disturbs both partners, and few blocks. Infinite if in the middle one the baseline
/// did nothing; empty if there are no pairs.
[[nodiscard]] std::optional<double> ratio_of_blocks(std::span<const double> ours, std::span<const double> theirs);

/// The ratio of a percentile, of durations that are kept pass by pass. Neighboring passes are put together until ten
/// durations on either side are beyond the percentile, as fewer say nothing about it. Empty if there are not so many.
[[nodiscard]] std::optional<ratio_estimate> ratio_of_percentiles(std::span<const std::vector<std::int64_t>> ours,
                                                                 std::span<const std::vector<std::int64_t>> theirs,
                                                                 double percent);

/// How often each client was granted a lock in the whole rounds of a contest, of which `grants` has the times, client
/// by client: from the first grant of all to the last one of the same client, without that. At either end of a contest
/// some are one grant ahead of others, which says nothing about the lock, and much if contests are short. If that
/// client comes up only once there are no rounds, and all grants count.
[[nodiscard]] std::vector<std::size_t> shares_of(std::span<const std::vector<std::int64_t>> grants);

/// The smallest by the largest.
[[nodiscard]] double fairness(std::span<const std::size_t> shares);

}  // namespace bench
