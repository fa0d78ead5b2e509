#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <rowlock/backend.hpp>
#include <rowlock/options.hpp>

#include "event_sink.hpp"
#include "held_set.hpp"
#include "worker.hpp"

namespace rowlock::detail {

/// Keeps the leases of one provider alive, and tells their holders in time when that fails.
///
/// Two threads, each started by the first lease. One renews: all leases in one call of the back end, every third of
/// the time to live, sooner after a failure. The other only looks at the clock and never at the database, so that a
/// renewal that hangs cannot keep a holder from hearing that its lease is over.
///
/// A renewal that is under way while its lease is released changes nothing: the back end renews what it finds held by
/// that id, and `held_lock` ignores the answer once it is released.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class lease_keeper final : public backend::listener {
public:
    lease_keeper(backend& b, const options& opt, const held_set& locks, const event_sink& events);
    ~lease_keeper();

    /// A lock was granted that is in the set: from now on it is renewed and watched.
    void watch(const held_lock& h, const grant& g);

    /// `r` may hold a lock or a place in a queue that no handle stands for: give it back in the background, trying
    /// again until the lease must be over.
    void owe(lock_request r);

    /// Renews what is held, and tells of what is not any more.
    /// @returns when to do it again
    boot_clock::time_point renew_all();

    void on_loss(const request_id& id, loss_reason reason, std::string_view detail) noexcept override;
    void on_doubt() noexcept override;

private:
    struct debt {
        lock_request request;
        boot_clock::time_point ends;
    };
    struct loss {
        request_id id;
        loss_reason reason;
        std::string detail;
    };

    boot_clock::time_point pay();
    boot_clock::time_point look_at_the_clock();

    backend& backend_;
    const bool leases_;
    const bool renews_;
    const boot_clock::duration interval_;
    const boot_clock::duration pause_after_failure_;
    const std::chrono::milliseconds operation_timeout_;
    const std::chrono::milliseconds ttl_;
    const held_set& locks_;
    const event_sink& events_;

    std::atomic<boot_clock::time_point> doubted_{boot_clock::time_point::min()};  ///< when it was last told to look
    std::mutex mutex_;
    std::vector<debt> debts_;
    std::vector<loss> losses_;
    worker renewing_;
    worker watching_;
};

}  // namespace rowlock::detail
