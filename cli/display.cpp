#include "display.hpp"

#include <algorithm>
#include <cstdint>
#include <ctime>

#include <locale.h>
#include <wchar.h>

#include <fmt/format.h>

namespace rowlock::cli {
namespace {

struct code_point {
    char32_t value;
    std::size_t bytes;
    bool valid;
};

// Takes one character from the front; a byte that starts no valid character is returned alone. RFC 3629 section 4.
code_point decode(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto lead = byte(0);
    if (lead < 0x80) return {lead, 1, true};
    const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return {lead, 1, false};
    auto value = static_cast<char32_t>(lead & (0x7F >> bytes));
    for (std::size_t i = 1; i < bytes; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return {lead, 1, false};
        value = (value << 6) | (byte(i) & 0x3F);
    }
    const bool overlong = (bytes == 3 && value < 0x800) || (bytes == 4 && value < 0x10000);
    const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    if (overlong || surrogate || value > 0x10FFFF) return {lead, 1, false};
    return {value, bytes, true};
}

// What would move the cursor, turn the writing around, or not be seen at all. The zero-width joiner stays: emoji are
// made with it.
bool must_be_escaped(char32_t c) {
    return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0xAD || c == 0x61C || c == 0x180E || c == 0x200B ||
           c == 0x200C || c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
           c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xE000 && c <= 0xF8FF) ||
           (c >= 0xE0000 && c <= 0xE0FFF);
}

std::size_t width(char32_t c) {
    // The process's own locale may be C, in which only ASCII has a width; what is printed is UTF-8 all the same.
    static const locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    if (!utf8) return 1;
    auto* const before = uselocale(utf8);
    const int columns = wcwidth(static_cast<wchar_t>(c));
    uselocale(before);
    return columns < 0 ? 1 : static_cast<std::size_t>(columns);
}

}  // namespace

std::string printable(std::string_view text) {
    std::string shown;
    while (!text.empty()) {
        const auto c = decode(text);
        const auto bytes = text.substr(0, c.bytes);
        text.remove_prefix(c.bytes);
        if (!c.valid)
            shown += fmt::format("\\x{:02x}", static_cast<std::uint32_t>(c.value));
        else if (c.value == '\\')
            shown += "\\\\";
        else if (c.value == '\n')
            shown += "\\n";
        else if (c.value == '\t')
            shown += "\\t";
        else if (c.value == '\r')
            shown += "\\r";
        else if (must_be_escaped(c.value))
            shown += c.value < 0x80 ? fmt::format("\\x{:02x}", static_cast<std::uint32_t>(c.value))
                                    : fmt::format("\\u{{{:x}}}", static_cast<std::uint32_t>(c.value));
        else
            shown += bytes;
    }
    return shown;
}

std::size_t display_width(std::string_view text) {
    std::size_t columns = 0;
    while (!text.empty()) {
        const auto c = decode(text);
        columns += width(c.value);
        text.remove_prefix(c.bytes);
    }
    return columns;
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<std::vector<std::string>> cells;
    std::vector<std::size_t> widths;
    for (const auto& row : rows) {
        auto& shown = cells.emplace_back();
        for (const auto& cell : row) {
            shown.push_back(printable(cell));
            if (widths.size() < shown.size()) widths.push_back(0);
            widths[shown.size() - 1] = std::max(widths[shown.size() - 1], display_width(shown.back()));
        }
    }
    std::string table;
    for (const auto& row : cells) {
        std::string line;
        for (std::size_t i = 0; i < row.size(); ++i) {
            line += row[i];
            line.append(widths[i] - display_width(row[i]) + 2, ' ');
        }
        line.erase(line.find_last_not_of(' ') + 1);
        table += line + '\n';
    }
    return table;
}

std::string utc_time(std::chrono::system_clock::time_point t) {
    const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(t);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(milliseconds);
    const std::time_t at = std::chrono::system_clock::to_time_t(seconds);
    std::tm parts{};
    gmtime_r(&at, &parts);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                       parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, (milliseconds - seconds).count());
}

std::string local_time(std::chrono::system_clock::time_point t) {
    const std::time_t at = std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(t));
    std::tm parts{};
    localtime_r(&at, &parts);
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                       parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace rowlock::cli
