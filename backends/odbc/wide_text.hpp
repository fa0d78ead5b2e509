#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "handle.hpp"

namespace rowlock::odbc {

/// A short text as drivers take it whatever their character set is: UTF-16, in a buffer that stays where it is.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class wide_text {
public:
    static constexpr std::size_t capacity = 255;

    wide_text() = default;
    wide_text(const wide_text&) = delete;
    wide_text& operator=(const wide_text&) = delete;

    /// @param utf8 well-formed, `capacity` bytes at most: UTF-16 never has more units than that
    void assign(std::string_view utf8) noexcept;

    [[nodiscard]] SQLWCHAR* data() noexcept { return units_.data(); }
    [[nodiscard]] SQLLEN* bytes() noexcept { return &bytes_; }

private:
    std::array<SQLWCHAR, capacity + 1> units_{};
    SQLLEN bytes_ = 0;
};

}  // namespace rowlock::odbc
