#include "report.hpp"

#include <cmath>

#include <fmt/format.h>

namespace bench {

std::string_view to_string(verdict v) noexcept {
    switch (v) {
        case verdict::met:
            return "met";
        case verdict::missed:
            return "missed";
        case verdict::not_measured:
            return "not measured";
    }
    return "";
}

std::string title_of(const measurement& m) {
    return m.back_end + ", " + m.work + (m.clients.empty() ? "" : ", " + m.clients);
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

}  // namespace bench
