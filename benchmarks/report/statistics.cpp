#include "statistics.hpp"

#include <algorithm>
#include <cmath>

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

double ratio_of_blocks(std::span<const double> ours, std::span<const double> theirs) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i)
        if (ours[i] > 0 && theirs[i] > 0) ratios.push_back(ours[i] / theirs[i]);
    return median(std::move(ratios));
}

double fairness(std::span<const std::size_t> shares) {
    if (shares.empty()) return 0;
    const auto [least, most] = std::minmax_element(shares.begin(), shares.end());
    return *most == 0 ? 0 : static_cast<double>(*least) / static_cast<double>(*most);
}

}  // namespace bench
