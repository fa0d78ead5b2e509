#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <rowlock/deadline.hpp>
#include <rowlock/error.hpp>

namespace rowlock::detail {

/// A session of a source, and what the source knows of it.
template <class Session>
struct pooled {
    template <class... How>
    explicit pooled(std::uint64_t n, How&&... how) : s{std::forward<How>(how)...}, id{n} {}

    Session s;
    const std::uint64_t id;
    std::atomic<std::size_t> locks{0};  ///< how many locks it holds; changed by who uses it
    std::atomic<bool> reserved{false};  ///< for the one lock that it holds: nobody else asks in it
    std::atomic<bool> kept{false};  ///< though it holds no lock, it is not closed, nor used for waits while others do
    bool in_use = true;
    std::atomic<bool> waiting{false};  ///< in use for long: nobody queues for it
    bool hung_up = false;
    bool gone = false;
};

/// Where a back end has its sessions from: a pool of its own, or the one connection of the caller.
///
/// Distinct objects: safe.
/// Shared objects: safe.
template <class Session>
class connection_source {
public:
    using member = pooled<Session>;

    /// A session ended: tells those whose locks it held. Runs in any thread, outside the source's lock, and must not
    /// throw.
    using gone_function = std::function<void(member&, const std::string& why)>;

    connection_source() = default;
    connection_source(const connection_source&) = delete;
    connection_source& operator=(const connection_source&) = delete;
    virtual ~connection_source() = default;

    /// A session in somebody's hands, for one statement or one wait.
    class use {
    public:
        use(connection_source& from, std::shared_ptr<member> m) noexcept : source_{&from}, member_{std::move(m)} {}
        use(use&&) noexcept = default;
        use& operator=(use&&) = delete;
        ~use() {
            if (member_) source_->put_back(member_);
        }
        [[nodiscard]] Session& operator*() const noexcept { return member_->s; }
        [[nodiscard]] Session* operator->() const noexcept { return &member_->s; }
        [[nodiscard]] const std::shared_ptr<member>& who() const noexcept { return member_; }

    private:
        connection_source* source_;
        std::shared_ptr<member> member_;
    };

    /// For a statement that does not wait.
    /// @throws connection_error none could be had by `d`
    [[nodiscard]] virtual use any(deadline d) = 0;
    /// The same, but none is opened for that. Empty: none is open, or none that does not wait.
    [[nodiscard]] virtual std::optional<use> any_open(deadline d) { return any(d); }
    /// The session that holds a certain lock.
    /// @throws no_answer it is gone; connection_error it cannot be used now
    [[nodiscard]] virtual use that(const std::shared_ptr<member>& m, deadline d) = 0;
    /// One that holds nothing, for a wait. Empty: there is none for that at the moment, or `w` was over before one
    /// could be had.
    ///
    /// A connection that it takes is opened to the end, for the next one if `w` is over by then: servers complain in
    /// their log of clients that give up half-way, and somebody who waits for shorter, again and again, would never get
    /// connected.
    /// @param connecting how long that may take
    /// @throws connection_error
    [[nodiscard]] virtual std::optional<use> without_locks(const wait_bound& w,
                                                           std::chrono::milliseconds connecting) = 0;
    /// The same for what must not run beside locks.
    [[nodiscard]] std::optional<use> without_locks(deadline d) {
        return without_locks({.until = d}, std::chrono::ceil<std::chrono::milliseconds>(d.remaining()));
    }

    /// Somebody cannot be waited for who uses it: takes it out, and tells whom it concerns. Who uses it keeps it alive.
    /// Does nothing where the session is the caller's.
    virtual void give_up(const std::shared_ptr<member>&, const std::string& /*why*/) noexcept {}

    /// Whether `without_locks()` would have one at once.
    [[nodiscard]] virtual bool has_spare() const { return false; }

private:
    virtual void put_back(const std::shared_ptr<member>& m) noexcept = 0;
};

}  // namespace rowlock::detail
