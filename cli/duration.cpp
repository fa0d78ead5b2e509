#include "duration.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>

namespace rowlock::cli {
namespace {

struct unit {
    std::string_view name;
    std::int64_t milliseconds;
};

// From the largest to the smallest, as they must stand in the text.
constexpr std::array units{unit{"d", 86'400'000}, unit{"h", 3'600'000}, unit{"m", 60'000}, unit{"s", 1'000},
                           unit{"ms", 1}};

constexpr std::string_view form = "write it like 500ms, 5s, 1m30s, 2h or 1d";

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
    throw std::invalid_argument{fmt::format("\"{}\" is no duration: {}", text, why)};
}

}  // namespace

std::chrono::milliseconds parse_duration(std::string_view text) {
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    if (text.empty()) refuse(text, form);
    std::int64_t total = 0;
    std::size_t next_unit = 0;
    for (auto rest = text; !rest.empty();) {
        if (rest.front() < '0' || rest.front() > '9') refuse(text, form);  // from_chars would take a minus
        std::int64_t number = 0;
        const auto [end, problem] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
        if (problem == std::errc::result_out_of_range) refuse(text, "it is too long");
        rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
        const auto name = rest.substr(0, rest.find_first_of("0123456789"));
        if (name.empty())
            refuse(text, fmt::format("a unit is missing; did you mean {0}s or {0}ms? ({1})", number, form));
        if (name.front() == '.' || name.front() == ',')
            refuse(text, "fractions are not understood; use a smaller unit, such as 1500ms for one and a half seconds");
        while (next_unit < units.size() && units[next_unit].name != name) ++next_unit;
        if (next_unit == units.size()) refuse(text, form);
        const auto factor = units[next_unit++].milliseconds;
        if (number > (most - total) / factor) refuse(text, "it is too long");
        total += number * factor;
        rest.remove_prefix(name.size());
    }
    return std::chrono::milliseconds{total};
}

std::string short_duration(std::chrono::milliseconds d) {
    auto left = d.count();
    if (left <= 0) return "0s";
    for (std::size_t i = 0; i < units.size(); ++i) {
        const auto whole = left / units[i].milliseconds;
        if (whole == 0) continue;
        auto text = fmt::format("{}{}", whole, units[i].name);
        left %= units[i].milliseconds;
        // Milliseconds beside seconds are noise.
        if (i + 2 < units.size() && left / units[i + 1].milliseconds > 0)
            text += fmt::format("{}{}", left / units[i + 1].milliseconds, units[i + 1].name);
        return text;
    }
    return "0s";
}

}  // namespace rowlock::cli
