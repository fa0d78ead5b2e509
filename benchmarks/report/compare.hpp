#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "report.hpp"

namespace bench {

/// One ratio to a baseline in two reports.
struct difference {
    std::string what{};
    double before = 0, after = 0;
    bool differs = false;  ///< by more than was allowed

    /// The larger by the smaller.
    [[nodiscard]] double factor() const { return std::max(before, after) / std::min(before, after); }
};

/// Two runs, as far as they measured the same things. Only ratios: times of different runs are not comparable.
struct comparison {
    double allowed = 0;
    std::vector<difference> ratios{};     ///< those that differ most come last
    std::vector<std::string> only_one{};  ///< ratios that one of the two does not have
    std::vector<std::string> unsure{};    ///< both have them, but one of them, or both, only a range

    [[nodiscard]] std::size_t differing() const;
    /// False as well if there is nothing to agree on. What one of the two is not sure of is left out.
    [[nodiscard]] bool agree() const { return !ratios.empty() && differing() == 0; }
};

/// @param allowed 0.15: the larger of the two may be 15 % above the smaller
[[nodiscard]] comparison compare(const report& before, const report& after, double allowed);

}  // namespace bench
