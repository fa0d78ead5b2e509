#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string_view>

#include <rowlock/acquirer.hpp>

namespace rowlock {

/// At most `permits` handles at once. Each handle is a lease of its own, so the permit of a holder that died comes
/// back.
///
/// When not to use it: with different numbers for one name. Each asker counts against its own number.
///
/// `try_acquire*()` is one bounded round trip. `try_acquire*_for` and `_until` wait; an empty result means exactly:
/// still busy when the wait was over. `acquire*` waits without limit. A requested `stop` ends a wait with `cancelled`.
/// A database that does not answer adds one `options::operation_timeout` at most, and is a `connection_error`.
/// `_until` takes a `std::chrono::steady_clock` point.
///
/// Distinct objects: safe.
/// Shared objects: safe.
///
/// @code
/// rowlock::semaphore licences{locks, "licences", 5};
/// if (auto permit = licences.try_acquire_for(1min)) compile();
/// @endcode
class semaphore : public acquirer {
public:
    /// @param permits at least 1 and at most 2147483647; signed, so that a negative number is caught
    /// @throws std::invalid_argument the name is not 1 to 255 bytes of UTF-8 without NUL, or `permits` out of range
    /// @throws unsupported `locks` has no semaphore
    semaphore(const provider& locks, std::string_view name, std::int64_t permits)
        : acquirer{locks, name, primitive::semaphore, checked(permits)} {}

    [[nodiscard]] std::optional<lock_handle> try_acquire() { return take(lock_mode::permit, wait_bound{}); }
    template <class Rep, class Period>
    [[nodiscard]] std::optional<lock_handle> try_acquire_for(std::chrono::duration<Rep, Period> d,
                                                             std::stop_token stop = {}) {
        return take(lock_mode::permit, wait_bound{deadline::after(d), std::move(stop)});
    }
    [[nodiscard]] std::optional<lock_handle> try_acquire_until(std::chrono::steady_clock::time_point at,
                                                               std::stop_token stop = {}) {
        return take(lock_mode::permit, wait_bound{deadline{at}, std::move(stop)});
    }
    [[nodiscard]] lock_handle acquire(std::stop_token stop = {}) { return take(lock_mode::permit, std::move(stop)); }

private:
    static std::uint32_t checked(std::int64_t permits);
};

}  // namespace rowlock
