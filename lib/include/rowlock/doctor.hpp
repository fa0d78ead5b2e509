#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <rowlock/options.hpp>

namespace rowlock {

enum class severity : std::uint8_t { good, advice, problem };

/// "good", "advice", "problem".
[[nodiscard]] std::string_view to_string(severity s) noexcept;

/// One thing that was looked at.
struct finding {
    severity level = severity::good;
    std::string what{};    ///< "journal mode": what was looked at
    std::string found{};   ///< "delete": how it is
    std::string remedy{};  ///< what to do about it; empty if good
};

/// Looks at a database as it is, migrated or not, and says what is wrong with it for locking. Changes nothing.
/// @throws std::invalid_argument no such kind of URL, or an option makes no sense
[[nodiscard]] std::vector<finding> diagnose(std::string_view url, const options& opt = {});

}  // namespace rowlock
