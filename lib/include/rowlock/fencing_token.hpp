#pragma once

#include <compare>
#include <cstdint>

namespace rowlock {

/// A number that grows with every grant of one name, and never goes back.
///
/// Send it along with every write that the lock protects and let the receiver refuse a smaller one than it has
/// seen: then a holder that was paused past its lease cannot undo the work of its successor. Tokens of different
/// names are not comparable. See M. Kleppmann, "How to do distributed locking" (2016).
///
/// Thread-safety: a value type.
class fencing_token {
public:
    constexpr explicit fencing_token(std::uint64_t value) noexcept : value_{value} {}

    [[nodiscard]] constexpr std::uint64_t value() const noexcept { return value_; }

    friend constexpr auto operator<=>(const fencing_token&, const fencing_token&) = default;

private:
    std::uint64_t value_;
};

}  // namespace rowlock
