#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <string_view>

#include <rowlock/acquirer.hpp>

namespace rowlock {

/// A name that one handle at a time holds, across threads, processes and machines.
///
/// When not to use it: between threads of one process only (`std::mutex`), or as the last word on a write (fence it).
/// Not re-entrant: a second acquisition by the same process waits like anybody else's.
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
/// rowlock::mutex m{locks, "nightly-report"};
/// if (auto held = m.try_acquire_for(5s)) write_report(held->token());
/// @endcode
class mutex : public acquirer {
public:
    /// @throws std::invalid_argument the name is not 1 to 255 bytes of UTF-8 without NUL
    /// @throws unsupported `locks` has no mutex
    mutex(const provider& locks, std::string_view name) : acquirer{locks, name, primitive::mutex} {}

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
};

}  // namespace rowlock
