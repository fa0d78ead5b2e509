#include "names.hpp"

#include <stdexcept>

namespace rowlock::detail {
namespace {

constexpr std::size_t max_bytes = 255;

// How many bytes follow a leading byte, and the range of the first of them; RFC 3629 section 4.
struct sequence {
    int following;
    unsigned char low, high;
};

constexpr sequence sequence_of(unsigned char lead) noexcept {
    if (lead <= 0x7F) return {0, 0, 0};
    if (lead >= 0xC2 && lead <= 0xDF) return {1, 0x80, 0xBF};
    if (lead == 0xE0) return {2, 0xA0, 0xBF};
    if (lead == 0xED) return {2, 0x80, 0x9F};
    if (lead >= 0xE1 && lead <= 0xEF) return {2, 0x80, 0xBF};
    if (lead == 0xF0) return {3, 0x90, 0xBF};
    if (lead >= 0xF1 && lead <= 0xF3) return {3, 0x80, 0xBF};
    if (lead == 0xF4) return {3, 0x80, 0x8F};
    return {-1, 0, 0};
}

}  // namespace

bool is_utf8(std::string_view text) noexcept {
    for (std::size_t i = 0; i < text.size();) {
        auto [following, low, high] = sequence_of(static_cast<unsigned char>(text[i++]));
        if (following < 0) return false;
        for (; following > 0; --following, low = 0x80, high = 0xBF) {
            if (i == text.size()) return false;
            const auto byte = static_cast<unsigned char>(text[i++]);
            if (byte < low || byte > high) return false;
        }
    }
    return true;
}

std::string full_name(std::string_view prefix, std::string_view name) {
    if (name.empty()) throw std::invalid_argument{"a lock's name must not be empty"};
    if (prefix.size() + name.size() > max_bytes)
        throw std::invalid_argument{"a lock's name may have 255 bytes at most, its prefix included; this one has " +
                                    std::to_string(prefix.size() + name.size())};
    std::string full{prefix};
    full += name;
    if (full.find('\0') != std::string::npos) throw std::invalid_argument{"a lock's name must not contain a NUL byte"};
    if (!is_utf8(full)) throw std::invalid_argument{"a lock's name must be valid UTF-8"};
    return full;
}

}  // namespace rowlock::detail
