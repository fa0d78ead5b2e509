#include "utf16.hpp"

#include <cstdint>

namespace rowlock::odbc {
namespace {

constexpr std::uint32_t replacement = 0xFFFD;

}  // namespace

std::size_t to_utf16(std::string_view utf8, SQLWCHAR* out) noexcept {
    std::size_t n = 0;
    for (std::size_t i = 0; i < utf8.size();) {
        const auto first = static_cast<unsigned char>(utf8[i]);
        const std::size_t more = first < 0xC0U ? 0 : first < 0xE0U ? 1 : first < 0xF0U ? 2 : 3;
        std::uint32_t point = more == 0 ? first : first & (0x3FU >> more);
        std::size_t k = 1;
        for (; k <= more && i + k < utf8.size() && (static_cast<unsigned char>(utf8[i + k]) & 0xC0U) == 0x80U; ++k)
            point = point << 6U | (static_cast<unsigned char>(utf8[i + k]) & 0x3FU);
        if (k <= more || (more == 0 && first >= 0x80U) || point > 0x10FFFFU) point = replacement;
        i += k;
        if (point >= 0x10000U) {
            out[n++] = static_cast<SQLWCHAR>(0xD800U + ((point - 0x10000U) >> 10U));
            out[n++] = static_cast<SQLWCHAR>(0xDC00U + ((point - 0x10000U) & 0x3FFU));
        } else {
            out[n++] = static_cast<SQLWCHAR>(point);
        }
    }
    out[n] = 0;
    return n;
}

void append_utf8(std::string& out, const SQLWCHAR* units, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        std::uint32_t point = units[i];
        if (point >= 0xD800U && point < 0xE000U) {
            const bool pair = point < 0xDC00U && i + 1 < n && units[i + 1] >= 0xDC00U && units[i + 1] < 0xE000U;
            point = pair ? 0x10000U + ((point - 0xD800U) << 10U) + (units[++i] - 0xDC00U) : replacement;
        }
        if (point < 0x80U) {
            out += static_cast<char>(point);
            continue;
        }
        const int more = point < 0x800U ? 1 : point < 0x10000U ? 2 : 3;
        const auto lead = more == 1 ? 0xC0U : more == 2 ? 0xE0U : 0xF0U;
        out += static_cast<char>(lead | point >> (6U * static_cast<unsigned>(more)));
        for (int k = more - 1; k >= 0; --k)
            out += static_cast<char>(0x80U | (point >> (6U * static_cast<unsigned>(k)) & 0x3FU));
    }
}

}  // namespace rowlock::odbc
