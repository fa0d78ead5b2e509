#include "wide_text.hpp"

#include "utf16.hpp"

namespace rowlock::odbc {

void wide_text::assign(std::string_view utf8) noexcept {
    bytes_ = static_cast<SQLLEN>(to_utf16(utf8.substr(0, capacity), units_.data()) * sizeof(SQLWCHAR));
}

}  // namespace rowlock::odbc
