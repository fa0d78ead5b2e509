#include "wide_text.hpp"

#include <algorithm>
#include <cstdint>

namespace rowlock::odbc {

void wide_text::assign(std::string_view utf8) noexcept {
    std::size_t n = 0;
    const auto bits = [&](std::size_t i, unsigned mask) {
        return std::uint32_t{static_cast<unsigned char>(utf8[i])} & mask;
    };
    for (std::size_t i = 0; i < utf8.size();) {
        const auto first = static_cast<unsigned char>(utf8[i]);
        const std::size_t more = first < 0x80U ? 0 : first < 0xE0U ? 1 : first < 0xF0U ? 2 : 3;
        std::uint32_t point = more == 0 ? first : bits(i, 0x3FU >> more);
        for (std::size_t k = 1; k <= more; ++k) point = point << 6U | bits(i + k, 0x3FU);
        i += more + 1;
        if (point >= 0x10000U) {
            units_.at(n++) = static_cast<SQLWCHAR>(0xD800U + ((point - 0x10000U) >> 10U));
            units_.at(n++) = static_cast<SQLWCHAR>(0xDC00U + ((point - 0x10000U) & 0x3FFU));
        } else {
            units_.at(n++) = static_cast<SQLWCHAR>(point);
        }
    }
    units_.at(n) = 0;
    bytes_ = static_cast<SQLLEN>(n * sizeof(SQLWCHAR));
}

}  // namespace rowlock::odbc
