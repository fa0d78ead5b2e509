#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "hang_up_watch.hpp"
#include "session.hpp"

namespace rowlock::postgres {

/// A session of a pool, and what the pool knows of it.
struct member {
    member(const conninfo& to, std::string_view backend, std::uint64_t n, deadline d) : s{to, backend, d}, id{n} {}

    session s;
    const std::uint64_t id;
    std::atomic<std::size_t> locks{0};  ///< how many locks it holds; changed by who uses it
    bool in_use = true;
    bool waiting = false;  ///< in use for long: nobody queues for it
    bool hung_up = false;
    bool gone = false;
};

/// The few connections of one provider. One keeps all locks that were free when they were asked for; waiting is done on
/// others that hold nothing, so that giving back never queues behind a wait. Who waited for a lock keeps it.
///
/// A session that broke is taken out, its owner is told, and it is closed after that.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class session_pool {
public:
    /// Connections at most; waits beyond that have to do without one.
    static constexpr std::size_t limit = 16;

    /// @param gone a session ended and will be closed: tells those whose locks it held. Runs in any thread, outside the
    ///        pool's lock, and must not throw.
    session_pool(conninfo to, std::string_view backend, bool transaction_pooled,
                 std::function<void(member&, const std::string& why)> gone);

    /// A session in somebody's hands, for one statement or one wait.
    class use {
    public:
        use(session_pool& p, std::shared_ptr<member> m) noexcept : pool_{&p}, member_{std::move(m)} {}
        use(use&&) noexcept = default;
        use& operator=(use&&) = delete;
        ~use() {
            if (member_) pool_->put_back(member_);
        }
        [[nodiscard]] session& operator*() const noexcept { return member_->s; }
        [[nodiscard]] session* operator->() const noexcept { return &member_->s; }
        [[nodiscard]] const std::shared_ptr<member>& who() const noexcept { return member_; }

    private:
        session_pool* pool_;
        std::shared_ptr<member> member_;
    };

    /// For a statement that does not wait: the free session with the most locks.
    /// @throws connection_error none could be had by `d`
    [[nodiscard]] use any(deadline d);
    /// The session that holds a certain lock.
    /// @throws no_answer it is gone, or was in use until `d`
    [[nodiscard]] use that(const std::shared_ptr<member>& m, deadline d);
    /// For a wait: a session without locks. Empty: all that may be opened are in use or hold locks.
    /// @throws connection_error
    [[nodiscard]] std::optional<use> without_locks(deadline d);

    [[nodiscard]] std::size_t size() const;

private:
    void put_back(const std::shared_ptr<member>& m) noexcept;
    std::shared_ptr<member> open(std::unique_lock<std::mutex>& lock, bool to_wait, deadline d);
    void retire(std::unique_lock<std::mutex>& lock, const std::shared_ptr<member>& m) noexcept;
    void heard_hang_up(std::uint64_t id) noexcept;

    const conninfo to_;
    const std::string_view backend_;
    const bool transaction_pooled_;
    const std::function<void(member&, const std::string&)> gone_;

    mutable std::mutex mutex_;
    std::condition_variable freed_;
    std::vector<std::shared_ptr<member>> members_;
    std::size_t opening_ = 0;
    std::uint64_t next_id_ = 0;
    hang_up_watch watch_;  // last: it ends first
};

}  // namespace rowlock::postgres
