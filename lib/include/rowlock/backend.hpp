#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rowlock/boot_clock.hpp>
#include <rowlock/deadline.hpp>
#include <rowlock/fencing_token.hpp>
#include <rowlock/observer.hpp>
#include <rowlock/primitive.hpp>
#include <rowlock/status.hpp>

namespace rowlock {

/// Names one acquisition, so that an answer that was lost can be asked for again, and so that two grants of one
/// process are never taken for each other. `provider` is random, `number` counts within that provider.
struct request_id {
    std::uint64_t provider = 0;
    std::uint64_t number = 0;
    friend constexpr auto operator<=>(const request_id&, const request_id&) = default;
};

/// What is asked of a back end. The same object accompanies a lock from the first try to its release.
struct lock_request {
    std::string name{};  ///< full name: valid UTF-8, 1 to 255 bytes, no NUL
    lock_mode mode = lock_mode::exclusive;
    std::uint32_t permits = 1;  ///< lock_mode::permit: how many may hold the name at once
    request_id id{};
    std::string owner{};
    std::chrono::milliseconds ttl{};
    bool queued = false;   ///< the caller will wait: keep its place from the first try on
    bool upgrade = false;  ///< `id` holds the name in mode upgrade and wants it exclusive, before all who wait
};

/// What a back end gives.
struct grant {
    std::optional<fencing_token> token{};

    /// When the lease ends, at the earliest that the database could mean it: counted from *before* the request was
    /// sent. Empty: the lock does not end by itself.
    std::optional<boot_clock::time_point> expires_at{};
};

/// The outcome of a try for several locks at once: all of them, or none.
struct several_grants {
    std::vector<grant> all{};  ///< one for each request, in the same order; empty: none was taken
    std::size_t busy = 0;      ///< if none was: the index of a request that somebody else stands in the way of
};

/// The outcome of one renewal.
struct renewal {
    bool held = true;
    boot_clock::time_point expires_at{};       ///< if held; counted from before the request was sent
    loss_reason reason = loss_reason::server;  ///< if not held
    std::string detail{};                      ///< if not held: what an operator said, for people
};

/// What a back end is.
struct backend_traits {
    std::string_view name = "custom";
    bool shared_mutex = false;
    bool upgrade_mutex = false;
    bool semaphore = false;
    bool leases = false;             ///< locks end unless renewed: `do_renew` is called every third of the time to live
    bool fair = false;               ///< waiters are served in the order in which they came
    bool tokens = false;             ///< every grant has a fencing token
    bool renewed_by_verify = false;  ///< leases: `do_verify` renews, and `do_renew` is not called
};

/// The seam between the engine, which waits, renews and tells of losses, and a database, which decides who holds
/// what. Derive from it to lock through something else: two functions are enough, and
/// `provider{std::make_unique<my_backend>()}` makes locks of it.
///
/// When not to: to change how waiting, renewing or events work. That is the engine's, for all back ends alike.
///
/// Distinct objects: safe.
/// Shared objects: the engine calls one back end from many threads at once; yours must be safe for that.
class backend {
public:
    /// Who wants to hear of losses; the engine.
    class listener {
    public:
        /// The lock is gone, or will be unless something is done at once. Called from any thread.
        virtual void on_loss(const request_id& id, loss_reason reason, std::string_view detail) noexcept = 0;
        /// Something happened to this provider's leases: renew them now, and so learn what. Called from any thread.
        virtual void on_doubt() noexcept = 0;

    protected:
        ~listener() = default;
    };

    backend() = default;
    backend(const backend&) = delete;
    backend& operator=(const backend&) = delete;
    virtual ~backend();

    [[nodiscard]] backend_traits traits() const { return do_traits(); }
    [[nodiscard]] bool supports(primitive p) const;

    std::optional<grant> try_acquire(const lock_request& r, deadline d) { return do_try_acquire(r, d); }
    several_grants try_acquire_all(std::span<const lock_request> all, deadline d) { return do_try_acquire_all(all, d); }
    std::optional<grant> await(const lock_request& r, const wait_bound& w,
                               std::chrono::milliseconds operation_timeout) {
        return do_await(r, w, operation_timeout);
    }
    std::optional<grant> abandon(const lock_request& r, deadline d) { return do_abandon(r, d); }
    void release(const lock_request& r, deadline d) { do_release(r, d); }
    std::vector<renewal> renew(std::span<const lock_request* const> held, deadline d) { return do_renew(held, d); }
    renewal verify(const lock_request& r, deadline d) { return do_verify(r, d); }
    std::vector<lock_status> inspect(std::string_view prefix, deadline d) { return do_inspect(prefix, d); }
    bool break_lock(std::string_view name, std::string_view reason, std::string_view by, deadline d) {
        return do_break(name, reason, by, d);
    }
    std::size_t purge(std::chrono::milliseconds idle, deadline d) { return do_purge(idle, d); }
    void listen(listener* l) { do_listen(l); }

private:
    /// Takes the lock if that can be done without waiting for somebody to release it; empty: somebody else has it.
    /// Asked again with an id that already holds the lock, it answers with that grant. With `r.queued` it keeps a
    /// place in the queue, if the back end has one, until the lock is granted or `do_abandon` is called; then it may
    /// also be empty because to wait is the better question.
    ///
    /// Returns or throws a `rowlock::error` by `d`.
    virtual std::optional<grant> do_try_acquire(const lock_request& r, deadline d) = 0;

    /// Takes all of these locks, or none, if that can be done without waiting for somebody to release one. They are
    /// exclusive, of different names in ascending order, at least one, and none is queued. Asked again with ids that
    /// already hold the locks, it answers with those grants.
    ///
    /// Default: tries them one after the other, and gives back what it took when one is busy or fails.
    ///
    /// Returns or throws a `rowlock::error` by `d`; an `in_doubt_error` where some may be held all the same.
    virtual several_grants do_try_acquire_all(std::span<const lock_request> all, deadline d);

    /// Gives the lock back, so that the next one can have it. Nothing happens if `r.id` does not hold it.
    ///
    /// Returns or throws a `rowlock::error` by `d`.
    virtual void do_release(const lock_request& r, deadline d) = 0;

    /// After a queued try that came back empty: waits until the lock is granted, or another try makes sense, or `w`
    /// is over, and answers with the grant if there is one. Must return soon once `w.stop` is requested.
    ///
    /// Default: sleeps for a while that grows with the time already waited (1 to 100 ms, jittered), then tries.
    virtual std::optional<grant> do_await(const lock_request& r, const wait_bound& w,
                                          std::chrono::milliseconds operation_timeout);

    /// The wait is over: leaves the queue. If the lock was granted in the meantime, it is kept and returned. Tries, if
    /// nobody was asked yet: empty means that somebody else has it, or was first.
    ///
    /// Default: nothing to leave, nothing granted.
    virtual std::optional<grant> do_abandon(const lock_request& r, deadline d);

    /// Moves the end of many leases at once; one answer for each, in the same order. A lease that has ended, or was
    /// taken by another, must not come back to life. Throws if nothing could be found out; that is tried again.
    ///
    /// Default: all are held for ever. Must be overridden where `traits().leases`.
    virtual std::vector<renewal> do_renew(std::span<const lock_request* const> held, deadline d);

    /// Asks whether `r.id` still holds the lock. Where `traits().renewed_by_verify`, moves its end. Default: yes.
    virtual renewal do_verify(const lock_request& r, deadline d);

    /// Every name that starts with `prefix` and is held or waited for, sorted by name. Default: throws unsupported.
    virtual std::vector<lock_status> do_inspect(std::string_view prefix, deadline d);

    /// Takes the lock away from all who hold it, tells them, and leaves a trace with `reason` and `by`. False: nobody
    /// held it. Default: throws unsupported.
    virtual bool do_break(std::string_view name, std::string_view reason, std::string_view by, deadline d);

    /// Forgets names that nobody holds or waits for and that were last granted `idle` ago or longer; their tokens go
    /// on from a floor above. How many were forgotten. Default: throws unsupported.
    virtual std::size_t do_purge(std::chrono::milliseconds idle, deadline d);

    /// Default: a mutex named "custom", with nothing else.
    [[nodiscard]] virtual backend_traits do_traits() const;

    /// Remembers whom to tell of losses; null: nobody any more, and no call is under way when this returns.
    /// Default: this back end learns of losses by renewing only.
    virtual void do_listen(listener* l);
};

}  // namespace rowlock
