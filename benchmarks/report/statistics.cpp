#include "statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bench {

double percentile(std::span<const double> sorted, double percent) {
    if (sorted.empty()) return 0;
    const auto rank = static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(sorted.size())));
    return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const auto middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::vector<double> sorted_microseconds(std::span<const std::int64_t> nanoseconds) {
    std::vector<double> all;
    all.reserve(nanoseconds.size());
    for (const auto n : nanoseconds) all.push_back(static_cast<double>(n) / 1000);
    std::sort(all.begin(), all.end());
    return all;
}

std::vector<std::pair<double, double>> distribution_points(std::span<const double> sorted) {
    std::vector<std::pair<double, double>> points;
    if (sorted.empty()) return points;
    points.emplace_back(sorted.front(), 0);
    for (int percent = 1; percent < 100; ++percent) points.emplace_back(percentile(sorted, percent), percent / 100.0);
    for (const double percent : {99.5, 99.9}) points.emplace_back(percentile(sorted, percent), percent / 100);
    points.emplace_back(sorted.back(), 1);
    return points;
}

std::optional<ratio_estimate> ratio_of_blocks(std::span<const double> ours, std::span<const double> theirs) {
    std::vector<double> ratios;
    // A block in which the baseline did nothing is an infinite ratio: it counts as what it is.
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i)
        ratios.push_back(theirs[i] > 0 ? ours[i] / theirs[i] : std::numeric_limits<double>::infinity());
    if (!std::isfinite(median(ratios))) return std::nullopt;
    if (ratios.empty()) return std::nullopt;
    ratio_estimate r{.value = median(ratios)};
    // How many of n are below the median is binomial: n/2 on average, with a deviation of sqrt(n)/2.
    const auto n = static_cast<double>(ratios.size());
    if (ratios.size() >= 6) {
        std::sort(ratios.begin(), ratios.end());
        const auto below = static_cast<std::size_t>(std::max(0.0, std::floor(n / 2 - 1.96 * std::sqrt(n) / 2)));
        r.range = {ratios[below], ratios[ratios.size() - 1 - below]};
    }
    return r;
}

std::optional<ratio_estimate> ratio_of_percentiles(std::span<const std::vector<std::int64_t>> ours,
                                                   std::span<const std::vector<std::int64_t>> theirs, double percent) {
    const double enough = 10 / (1 - percent / 100);
    std::vector<double> a, b;
    std::vector<std::int64_t> x, y;
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
        x.insert(x.end(), ours[i].begin(), ours[i].end());
        y.insert(y.end(), theirs[i].begin(), theirs[i].end());
        if (static_cast<double>(std::min(x.size(), y.size())) < enough) continue;
        a.push_back(percentile(sorted_microseconds(x), percent));
        b.push_back(percentile(sorted_microseconds(y), percent));
        x.clear(), y.clear();
    }
    return ratio_of_blocks(a, b);
}

double fairness(std::span<const std::size_t> shares) {
    if (shares.empty()) return 0;
    const auto [least, most] = std::minmax_element(shares.begin(), shares.end());
    return *most == 0 ? 0 : static_cast<double>(*least) / static_cast<double>(*most);
}

}  // namespace bench
