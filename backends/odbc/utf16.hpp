#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <sql.h>
#include <sqlext.h>

namespace rowlock::odbc {

/// Writes `utf8` in UTF-16, and a NUL behind it, which takes no more units than it has bytes and one. What is not well
/// formed becomes U+FFFD.
/// @return the number of units, without the NUL
std::size_t to_utf16(std::string_view utf8, SQLWCHAR* out) noexcept;

/// What is not well formed becomes U+FFFD.
void append_utf8(std::string& out, const SQLWCHAR* units, std::size_t n);

}  // namespace rowlock::odbc
