#pragma once

#include <chrono>
#include <optional>

#include <rowlock/lock_handle.hpp>
#include <rowlock/mutex.hpp>

namespace rowlock {

/// A mutex with the standard's Lockable and TimedLockable interface, for `std::unique_lock` and `std::scoped_lock`.
///
/// When not to use it: to share one object between threads; make one per thread from the same `mutex`, that is cheap.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
///
/// @code
/// rowlock::lockable a{m1}, b{m2};
/// std::scoped_lock both{a, b};
/// @endcode
class lockable {
public:
    explicit lockable(mutex m) : mutex_{std::move(m)} {}

    /// Waits without limit.
    /// @throws std::system_error resource_deadlock_would_occur: this object holds it already
    /// @throws rowlock::error as `mutex::acquire`
    void lock();
    [[nodiscard]] bool try_lock();
    template <class Rep, class Period>
    [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> d) {
        return keep(d > d.zero() ? mutex_.try_acquire_for(d) : mutex_.try_acquire());
    }
    template <class Clock, class Duration>
    [[nodiscard]] bool try_lock_until(std::chrono::time_point<Clock, Duration> at) {
        const auto now = Clock::now();
        return at > now ? try_lock_for(at - now) : try_lock();  // min() - now would overflow
    }

    /// Releases like the destructor of a `lock_handle`: bounded, and a failure goes to the observer.
    void unlock() noexcept { held_.reset(); }

    /// The lock that is held, for its token and its `lost()`; null if none is.
    [[nodiscard]] const lock_handle* handle() const noexcept { return held_ ? &*held_ : nullptr; }

private:
    bool keep(std::optional<lock_handle> got);
    void refuse_twice() const;

    mutex mutex_;
    std::optional<lock_handle> held_;
};

}  // namespace rowlock
