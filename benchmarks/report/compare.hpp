#pragma once

#include <string>
#include <vector>

#include "report.hpp"

namespace bench {

/// One ratio to a baseline in two reports.
struct difference {
    std::string what{};
    double before = 0, after = 0;
    bool differs = false;  ///< by more than was allowed
};

/// Two runs, as far as they measured the same things. Only ratios: times of different runs are not comparable.
struct comparison {
    std::vector<difference> ratios{};
    std::vector<std::string> only_one{};  ///< ratios that one of the two does not have

    [[nodiscard]] std::size_t differing() const;
    [[nodiscard]] bool agree() const { return differing() == 0; }
};

/// @param allowed 0.15: the larger of the two may be 15 % above the smaller
[[nodiscard]] comparison compare(const report& before, const report& after, double allowed);

}  // namespace bench
