#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rowlock::cli {

/// `text` as it can be shown on a terminal whatever it contains: control characters, invisible characters, those that
/// turn the direction of writing, invalid UTF-8 and the backslash are escaped (`\n`, `\x1b`, `\u{202e}`, `\\`).
[[nodiscard]] std::string printable(std::string_view text);

/// How many columns of a terminal `text` takes.
[[nodiscard]] std::size_t display_width(std::string_view text);

/// Rows whose columns stand below each other, two blanks apart. Cells are shown with `printable`.
[[nodiscard]] std::string format_table(const std::vector<std::vector<std::string>>& rows);

/// "2026-03-01T12:00:00.250Z".
[[nodiscard]] std::string utc_time(std::chrono::system_clock::time_point t);

/// "2026-03-01 13:00:00" in the local time zone.
[[nodiscard]] std::string local_time(std::chrono::system_clock::time_point t);

}  // namespace rowlock::cli
