#pragma once

#include <string>
#include <string_view>

namespace rowlock::detail {

/// `prefix` + `name`, if both together are 1 to 255 bytes of UTF-8 without NUL and `name` is not empty.
/// @throws std::invalid_argument otherwise, saying what is wrong
[[nodiscard]] std::string full_name(std::string_view prefix, std::string_view name);

/// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

}  // namespace rowlock::detail
