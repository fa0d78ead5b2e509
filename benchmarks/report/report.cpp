#include "report.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace bench {

std::string_view to_string(verdict v) noexcept {
    switch (v) {
        case verdict::met:
            return "met";
        case verdict::missed:
            return "missed";
        case verdict::not_sure:
            return "not sure";
        case verdict::not_measured:
            return "not measured";
    }
    return "";
}

std::string title_of(const measurement& m) {
    return m.back_end + ", " + m.work + (m.clients.empty() ? "" : ", " + m.clients) +
           (m.cpus.empty() ? "" : ", " + m.cpus);
}

std::string show(double value) {
    const double size = std::abs(value);
    if (value == std::floor(value) && size < 1e15) return fmt::format("{:.0f}", value);
    if (size >= 100) return fmt::format("{:.0f}", value);
    if (size >= 10) return fmt::format("{:.1f}", value);
    if (size >= 0.01) return fmt::format("{:.2f}", value);
    return fmt::format("{:.2g}", value);
}

std::string show(const std::optional<double>& value) { return value ? show(*value) : ""; }

std::string show_ratio(const figure& f) {
    if (f.unsure()) return show_range(*f.range);
    if (!f.ratio) return "";
    if (!f.range) return fmt::format("{:.2f}", *f.ratio);
    const auto off = std::max(f.range->second - *f.ratio, *f.ratio - f.range->first);
    return fmt::format("{:.2f} ±{:.0f} %", *f.ratio, off / *f.ratio * 100);
}

std::string show_range(const std::pair<double, double>& range) {
    return fmt::format("{:.2f} to {:.2f}", range.first, range.second);
}

}  // namespace bench
