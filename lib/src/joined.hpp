#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace rowlock::detail {

/// One text of several, made when this is compiled, with a NUL behind it.
template <const std::string_view&... Parts>
inline constexpr auto joined = [] {
    std::array<char, (Parts.size() + ... + 1)> text{};
    auto* at = text.data();
    ((at = std::copy(Parts.begin(), Parts.end(), at)), ...);
    return text;
}();

}  // namespace rowlock::detail
