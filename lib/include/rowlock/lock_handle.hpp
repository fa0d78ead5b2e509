#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <rowlock/backend.hpp>
#include <rowlock/deadline.hpp>
#include <rowlock/fencing_token.hpp>
#include <rowlock/observer.hpp>
#include <rowlock/options.hpp>

namespace rowlock {

namespace detail {
class engine;
class held_lock;
}  // namespace detail

/// A lock that is held. Ownership is the handle's, not a thread's: move it where it is needed. The lock is released
/// when the handle is released or destroyed.
///
/// When not to use it: as proof at the moment of a write. Between any check and the write the process can be paused
/// past its lease; `fence` in the transaction of the write, or `token()` sent along with it, is the proof.
///
/// A handle that was moved from, and one that a forked child inherited, stands for no lock: `release()` does nothing,
/// `name()` is empty, `token()`, `lost_reason()` and `detail()` are empty, `lost()` never fires, `valid_until()` lies
/// in the past, and the others throw `std::logic_error`.
///
/// Distinct objects: safe.
/// Shared objects: unsafe, except `lost()`, `valid_until()` and `name()`.
///
/// @code
/// if (std::optional<rowlock::lock_handle> held = m.try_acquire_for(5s)) {
///     std::stop_callback on_loss{held->lost(), [&] { job.stop(); }};
///     job.run();
/// }
/// @endcode
class lock_handle {
public:
    lock_handle(lock_handle&&) noexcept;
    lock_handle& operator=(lock_handle&&) noexcept;

    /// Releases the lock. Never throws: a release that failed goes to `observer::release_failed`, is tried again in
    /// the background, and ends with the lease at the latest. Blocks for `options::operation_timeout` at most.
    ~lock_handle();

    /// Gives the lock back. Idempotent: the second call does nothing, nor does a call after a loss.
    /// @throws rowlock::error the database could not be told; the handle is empty all the same, and the release is
    ///         tried again in the background. Blocks for `options::operation_timeout` at most.
    void release();

    /// The name as it was asked for, without `options::key_prefix`.
    [[nodiscard]] std::string_view name() const noexcept;

    /// Grows with every grant of this name; empty on back ends without tokens.
    [[nodiscard]] std::optional<fencing_token> token() const noexcept;

    /// Fires when the lock is lost, before anybody else can hold it; an operator's break is the one exception, which
    /// may be heard after the fact. Callbacks run in the provider's thread that learnt of it, or in the one that
    /// called: keep them short, and do not destroy the provider's last owner in one. Calling this looks at the clock:
    /// a process that was paused past its lease finds the token already fired. Does not block.
    [[nodiscard]] std::stop_token lost() const noexcept;

    /// Why the lock was lost; empty while it is held. Does not block.
    [[nodiscard]] std::optional<loss_reason> lost_reason() const noexcept;

    /// What the operator or the database said about the loss; for people.
    [[nodiscard]] std::string lost_detail() const;

    /// Until when the lock is surely held if no renewal succeeds any more; `max()` where locks do not end by
    /// themselves. Does not block.
    [[nodiscard]] std::chrono::steady_clock::time_point valid_until() const noexcept;

    /// Asks the database, in one round trip, whether the lock is still held. Where nothing else renews it, because it
    /// lives on a connection of the caller's (`sqlserver::leases_on`), it is renewed, too.
    /// @throws lock_lost it is not; lost() has fired then
    /// @throws connection_error the database could not be asked within `options::operation_timeout`
    void verify() const;

    /// Turns an upgrade lock into an exclusive one, once all who share it have released theirs; new ones wait behind.
    /// False: they had not within `d`; the upgrade lock is held as before. The token grows.
    /// @throws cancelled, lock_lost, connection_error; std::logic_error if this handle is not an upgrade lock
    template <class Rep, class Period>
    [[nodiscard]] bool try_upgrade_for(std::chrono::duration<Rep, Period> d, std::stop_token stop = {}) {
        return upgrade_within({deadline::after(d), std::move(stop)});
    }
    /// One try, without waiting.
    [[nodiscard]] bool try_upgrade() { return upgrade_within({}); }
    /// Waits without limit.
    void upgrade(std::stop_token stop = {}) { (void)upgrade_within({deadline::never(), std::move(stop)}); }

    /// How the lock is held now.
    [[nodiscard]] lock_mode mode() const;

    /// The name of the back end that it is held through, such as "postgresql+lease"; empty if it stands for no lock.
    [[nodiscard]] std::string_view backend() const noexcept;

    /// The options of the provider that it came from.
    [[nodiscard]] const options& settings() const;

    /// What the back end knows this lock by; for `fence` and for back ends. A snapshot.
    [[nodiscard]] lock_request request() const;

private:
    friend class detail::engine;
    lock_handle(std::shared_ptr<detail::engine> engine, std::shared_ptr<detail::held_lock> held) noexcept;
    bool upgrade_within(const wait_bound& w);
    [[nodiscard]] detail::held_lock* mine() const noexcept;
    [[nodiscard]] detail::held_lock& owned() const;

    std::shared_ptr<detail::engine> engine_;
    std::shared_ptr<detail::held_lock> held_;
};

}  // namespace rowlock
