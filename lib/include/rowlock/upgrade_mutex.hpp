#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <string_view>

#include <rowlock/acquirer.hpp>

namespace rowlock {

/// A `shared_mutex` with a third mode: an upgrade lock goes together with shared ones, but only one handle has it, and
/// that one can become exclusive without letting go (`lock_handle::try_upgrade_for`). Two readers who both want to
/// write cannot lock each other out for ever.
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
/// rowlock::upgrade_mutex u{locks, "catalogue"};
/// rowlock::lock_handle h = u.acquire_upgrade();
/// if (is_stale() && h.try_upgrade_for(5s)) rewrite();
/// @endcode
class upgrade_mutex : public acquirer {
public:
    /// @throws std::invalid_argument the name is not 1 to 255 bytes of UTF-8 without NUL
    /// @throws unsupported `locks` has no upgrade_mutex
    upgrade_mutex(const provider& locks, std::string_view name) : acquirer{locks, name, primitive::upgrade_mutex} {}

    [[nodiscard]] std::optional<lock_handle> try_acquire() { return take(lock_mode::exclusive, wait_bound{}); }
    template <class Rep, class Period>
    [[nodiscard]] std::optional<lock_handle> try_acquire_for(std::chrono::duration<Rep, Period> d,
                                                             std::stop_token stop = {}) {
        return take(lock_mode::exclusive, wait_bound{deadline::after(d), std::move(stop)});
    }
    [[nodiscard]] std::optional<lock_handle> try_acquire_until(std::chrono::steady_clock::time_point at,
                                                               std::stop_token stop = {}) {
        return take(lock_mode::exclusive, wait_bound{deadline{at}, std::move(stop)});
    }
    [[nodiscard]] lock_handle acquire(std::stop_token stop = {}) { return take(lock_mode::exclusive, std::move(stop)); }

    [[nodiscard]] std::optional<lock_handle> try_acquire_shared() { return take(lock_mode::shared, wait_bound{}); }
    template <class Rep, class Period>
    [[nodiscard]] std::optional<lock_handle> try_acquire_shared_for(std::chrono::duration<Rep, Period> d,
                                                                    std::stop_token stop = {}) {
        return take(lock_mode::shared, wait_bound{deadline::after(d), std::move(stop)});
    }
    [[nodiscard]] std::optional<lock_handle> try_acquire_shared_until(std::chrono::steady_clock::time_point at,
                                                                      std::stop_token stop = {}) {
        return take(lock_mode::shared, wait_bound{deadline{at}, std::move(stop)});
    }
    [[nodiscard]] lock_handle acquire_shared(std::stop_token stop = {}) {
        return take(lock_mode::shared, std::move(stop));
    }

    [[nodiscard]] std::optional<lock_handle> try_acquire_upgrade() { return take(lock_mode::upgrade, wait_bound{}); }
    template <class Rep, class Period>
    [[nodiscard]] std::optional<lock_handle> try_acquire_upgrade_for(std::chrono::duration<Rep, Period> d,
                                                                     std::stop_token stop = {}) {
        return take(lock_mode::upgrade, wait_bound{deadline::after(d), std::move(stop)});
    }
    [[nodiscard]] std::optional<lock_handle> try_acquire_upgrade_until(std::chrono::steady_clock::time_point at,
                                                                       std::stop_token stop = {}) {
        return take(lock_mode::upgrade, wait_bound{deadline{at}, std::move(stop)});
    }
    [[nodiscard]] lock_handle acquire_upgrade(std::stop_token stop = {}) {
        return take(lock_mode::upgrade, std::move(stop));
    }
};

}  // namespace rowlock
