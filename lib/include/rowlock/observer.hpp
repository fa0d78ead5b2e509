#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

#include <rowlock/fencing_token.hpp>
#include <rowlock/primitive.hpp>

namespace rowlock {

/// Why a lock was lost.
enum class loss_reason : std::uint8_t {
    expired,     ///< the lease could not be renewed before its end (a pause, an unreachable database)
    connection,  ///< the session that held the lock is gone
    broken,      ///< an operator broke the lock
    server,      ///< the database says that this lease does not exist any more
};

/// "expired", "connection", "broken", "server".
[[nodiscard]] std::string_view to_string(loss_reason r) noexcept;

/// What happened to one lock. The views live as long as the call.
struct lock_event {
    std::string_view name{};     ///< full name, prefix included
    std::string_view backend{};  ///< "sqlite", "memory", ...
    lock_mode mode = lock_mode::exclusive;
    std::optional<fencing_token> token{};
    std::chrono::nanoseconds duration{};  ///< waited (granted, busy, timed_out) or held (the others); steady clock
    std::optional<loss_reason> reason{};  ///< lost
    std::string_view detail{};            ///< lost, renewal_failed, release_failed: what was said, for people
};

/// Hears what happens to the locks of a provider, for logs and metrics: set `options::events`.
///
/// Every function is called from the thread in which the thing happened (a caller's, or the provider's renewal
/// thread), outside every lock of the library, and should return soon. An exception thrown here is dropped: it
/// changes nothing for the lock.
///
/// Distinct objects: safe.
/// Shared objects: the library calls one observer from several threads at once; make yours safe for that.
class observer {
public:
    virtual ~observer();

    virtual void granted(const lock_event&);         ///< after waiting `duration`
    virtual void busy(const lock_event&);            ///< a single try found somebody else
    virtual void timed_out(const lock_event&);       ///< the deadline passed after waiting `duration`
    virtual void cancelled(const lock_event&);       ///< the stop token ended the wait after `duration`
    virtual void released(const lock_event&);        ///< after holding `duration`
    virtual void lost(const lock_event&);            ///< with `reason` and `detail`
    virtual void renewed(const lock_event&);         ///< the lease goes on
    virtual void renewal_failed(const lock_event&);  ///< one renewal failed; it is tried again until the lease ends
    virtual void release_failed(const lock_event&);  ///< the database could not be told; the lease runs out by itself
};

}  // namespace rowlock
