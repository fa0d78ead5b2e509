#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <string_view>

#include <rowlock/acquirer.hpp>

namespace rowlock {

/// A name that many handles share, or one holds exclusively. Fair on back ends that are: a writer who waits is not
/// overtaken by new readers.
///
/// When not to use it: to turn a shared lock into an exclusive one (`upgrade_mutex`).
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
/// rowlock::shared_mutex s{locks, "catalogue"};
/// rowlock::lock_handle reading = s.acquire_shared();
/// @endcode
class shared_mutex : public acquirer {
public:
    /// @throws std::invalid_argument the name is not 1 to 255 bytes of UTF-8 without NUL
    /// @throws unsupported `locks` has no shared_mutex
    shared_mutex(const provider& locks, std::string_view name) : acquirer{locks, name, primitive::shared_mutex} {}

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
};

}  // namespace rowlock
