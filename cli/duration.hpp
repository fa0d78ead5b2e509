#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace rowlock::cli {

/// Reads a duration as people write it: `500ms`, `5s`, `1m30s`, `2h`, `1d`; several parts go from the largest unit to
/// the smallest.
/// @throws std::invalid_argument what is wrong and what to write; a number without a unit is refused, because one
///         program's seconds are another's milliseconds
[[nodiscard]] std::chrono::milliseconds parse_duration(std::string_view text);

/// The two largest units of a duration: `1m30s`, `2h5m`, `850ms`. Negative ones are `0s`.
[[nodiscard]] std::string short_duration(std::chrono::milliseconds d);

}  // namespace rowlock::cli
