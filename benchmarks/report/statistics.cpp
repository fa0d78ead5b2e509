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

std::optional<value_range> median_range(std::vector<double> values) {
    constexpr double one_side = 0.025;
    const auto n = static_cast<double>(values.size());
    // How likely it is that `below` or fewer of them are below the median; in logarithms, as the parts of the sum would
    // be too small for a number.
    const auto likely = [n](std::size_t below) {
        double sum = 0;
        for (std::size_t i = 0; i <= below; ++i) {
            const auto k = static_cast<double>(i);
            sum += std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) - n * std::log(2.0));
        }
        return sum;
    };
    if (values.empty() || likely(0) > one_side) return std::nullopt;
    std::size_t rank = 0;
    while (likely(rank + 1) <= one_side) ++rank;
    std::sort(values.begin(), values.end());
    return value_range{values[rank], values[values.size() - 1 - rank]};
}

bool is_sure(const value_range& r) {
    return r.first > 0 && std::isfinite(r.second) && r.second <= r.first * (1 + sure_within);
}

std::optional<ratio_estimate> estimate(std::vector<double> ratios) {
    if (ratios.empty() || !std::isfinite(median(ratios))) return std::nullopt;
    return ratio_estimate{.value = median(ratios), .range = median_range(ratios)};
}

std::optional<double> ratio_of_blocks(std::span<const double> ours, std::span<const double> theirs) {
    std::vector<double> ratios;
    // A block in which the baseline did nothing is an infinite ratio: it counts as what it is.
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i)
        ratios.push_back(theirs[i] > 0 ? ours[i] / theirs[i] : std::numeric_limits<double>::infinity());
    if (ratios.empty()) return std::nullopt;
    return median(ratios);
}

std::optional<ratio_estimate> ratio_of_percentiles(std::span<const std::vector<std::int64_t>> ours,
                                                   std::span<const std::vector<std::int64_t>> theirs, double percent) {
    const double enough = 10 / (1 - percent / 100);
    std::vector<double> ratios;
    std::vector<std::int64_t> x, y;
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
        x.insert(x.end(), ours[i].begin(), ours[i].end());
        y.insert(y.end(), theirs[i].begin(), theirs[i].end());
        if (static_cast<double>(std::min(x.size(), y.size())) < enough) continue;
        const double a = percentile(sorted_microseconds(x), percent), b = percentile(sorted_microseconds(y), percent);
        if (const auto r = ratio_of_blocks(std::span{&a, 1}, std::span{&b, 1})) ratios.push_back(*r);
        x.clear(), y.clear();
    }
    return estimate(ratios);
}

std::vector<std::size_t> shares_of(std::span<const std::vector<std::int64_t>> grants) {
    const std::vector<std::int64_t>* first = nullptr;
    for (const auto& client : grants)
        if (!client.empty() && (!first || client.front() < first->front())) first = &client;
    std::vector<std::size_t> shares;
    for (const auto& client : grants) {
        const bool rounds = first && first->size() > 1;
        shares.push_back(!rounds ? client.size()
                                 : static_cast<std::size_t>(std::count_if(
                                       client.begin(), client.end(), [&](auto at) { return at < first->back(); })));
    }
    return shares;
}

double fairness(std::span<const std::size_t> shares) {
    if (shares.empty()) return 0;
    const auto [least, most] = std::minmax_element(shares.begin(), shares.end());
    return *most == 0 ? 0 : static_cast<double>(*least) / static_cast<double>(*most);
}

}  // namespace bench
