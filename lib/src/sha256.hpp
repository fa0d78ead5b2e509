#pragma once

#include <array>
#include <string_view>

namespace rowlock::detail {

using sha256_digest = std::array<unsigned char, 32>;

/// FIPS 180-4, by OpenSSL. Built only for back ends that derive names with it.
[[nodiscard]] sha256_digest sha256(std::string_view text);

}  // namespace rowlock::detail
