#include "compare.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace bench {
namespace {

// Empty: there is only a range.
std::map<std::string, std::optional<double>> ratios_of(const report& r) {
    std::map<std::string, std::optional<double>> all;
    for (const auto& m : r.measurements)
        for (const auto& f : m.figures)
            if (f.ratio || f.unsure()) all.emplace(m.suite + ": " + title_of(m) + ": " + f.name, f.ratio);
    return all;
}

}  // namespace

std::size_t comparison::differing() const {
    return static_cast<std::size_t>(std::count_if(ratios.begin(), ratios.end(), [](auto& d) { return d.differs; }));
}

comparison compare(const report& before, const report& after, double allowed) {
    comparison c{.allowed = allowed};
    const auto first = ratios_of(before);
    auto second = ratios_of(after);
    for (const auto& [what, ratio] : first) {
        const auto same = second.find(what);
        if (same == second.end()) {
            c.only_one.push_back(what);
            continue;
        }
        if (ratio && same->second) {
            c.ratios.push_back({what, *ratio, *same->second});
            c.ratios.back().differs = c.ratios.back().factor() > 1 + allowed;
        } else {
            c.unsure.push_back(what);
        }
        second.erase(same);
    }
    for (const auto& [what, ratio] : second) c.only_one.push_back(what);
    std::stable_sort(c.ratios.begin(), c.ratios.end(), [](auto& x, auto& y) { return x.factor() < y.factor(); });
    return c;
}

}  // namespace bench
