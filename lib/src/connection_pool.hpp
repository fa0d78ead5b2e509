#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "connection_source.hpp"
#include "no_answer.hpp"

namespace rowlock::detail {

/// The few connections of one provider. One keeps all locks that were free when they were asked for; waiting is done on
/// others that hold nothing, so that giving back never queues behind a wait. Who waited for a lock keeps it.
///
/// A session that broke is taken out, its owner is told, and it is closed after that.
///
/// @tparam Session has `usable()` and `last_words()`, which says why it is not
///
/// Distinct objects: safe.
/// Shared objects: safe.
template <class Session>
class connection_pool : public connection_source<Session> {
public:
    using typename connection_source<Session>::member;
    using typename connection_source<Session>::use;
    using typename connection_source<Session>::gone_function;

    /// Connections at most; waits beyond that have to do without one.
    static constexpr std::size_t limit = 16;

    /// Opens a session, ready for use, or throws.
    using open_function = std::function<std::shared_ptr<member>(std::uint64_t id, deadline d)>;

    /// @param server what it connects to, for messages
    /// @param gone called before the session is closed
    connection_pool(open_function make, std::string_view server, std::string_view backend, gone_function gone)
        : make_{std::move(make)}, server_{server}, backend_{backend}, gone_{std::move(gone)} {}

    /// The free session with the most locks.
    [[nodiscard]] use any(deadline d) override;
    [[nodiscard]] use that(const std::shared_ptr<member>& m, deadline d) override;
    /// A session without locks. Empty: all that may be opened are in use or hold locks.
    [[nodiscard]] std::optional<use> without_locks(deadline d) override;
    [[nodiscard]] bool has_spare() const override;

    /// Sessions that hold locks and do nothing: all of them, in the caller's hands.
    [[nodiscard]] std::vector<use> idle_holders();
    /// Whether any session holds a lock.
    [[nodiscard]] bool holds_any() const;

    /// Somebody cannot be waited for who uses it: takes it out, and tells whom it concerns. Who uses it keeps it alive.
    void give_up(const std::shared_ptr<member>& m, const std::string& why) noexcept;
    /// Takes all out, without telling anybody.
    [[nodiscard]] std::vector<std::shared_ptr<member>> take_all() noexcept;

    [[nodiscard]] std::size_t size() const {
        const std::lock_guard lock{mutex_};
        return members_.size();
    }

protected:
    /// The session's other end is gone: it is taken out, now or by who uses it.
    void heard_hang_up(std::uint64_t id) noexcept;

private:
    // Sessions that hold nothing and are kept for the next wait all the same; opening one takes as long as 100 cycles.
    static constexpr std::size_t spares = 4;

    void put_back(const std::shared_ptr<member>& m) noexcept override;
    std::shared_ptr<member> open(std::unique_lock<std::mutex>& lock, bool to_wait, deadline d);
    void retire(std::unique_lock<std::mutex>& lock, const std::shared_ptr<member>& m, const std::string& why) noexcept;
    [[nodiscard]] error_context context() const { return {.backend = std::string{backend_}}; }

    const open_function make_;
    const std::string server_;
    const std::string_view backend_;
    const gone_function gone_;

    mutable std::mutex mutex_;
    std::condition_variable freed_;
    std::vector<std::shared_ptr<member>> members_;
    std::size_t opening_ = 0;
    std::uint64_t next_id_ = 0;
};

template <class Session>
auto connection_pool<Session>::open(std::unique_lock<std::mutex>& lock, bool to_wait, deadline d)
    -> std::shared_ptr<member> {
    const auto id = next_id_++;
    ++opening_;
    lock.unlock();
    std::shared_ptr<member> made;
    try {
        made = make_(id, d);
    } catch (...) {
        lock.lock();
        --opening_;
        freed_.notify_all();
        throw;
    }
    lock.lock();
    --opening_;
    made->waiting = to_wait;
    members_.push_back(made);
    freed_.notify_all();
    return made;
}

template <class Session>
auto connection_pool<Session>::any(deadline d) -> use {
    std::unique_lock lock{mutex_};
    for (;;) {
        std::shared_ptr<member> best;
        bool soon = opening_ > 0;  // somebody else's, which may be free in a moment
        for (const auto& m : members_) {
            if (m->reserved) continue;
            if (m->in_use)
                soon = soon || !m->waiting;
            else if (!best || m->locks > best->locks)
                best = m;
        }
        if (best) {
            best->in_use = true;
            return {*this, std::move(best)};
        }
        if (!soon) return {*this, open(lock, false, d)};
        if (d.is_never())
            freed_.wait(lock);
        else if (freed_.wait_until(lock, d.at()) == std::cv_status::timeout && d.expired())
            throw connection_error{
                "the connections to " + server_ + " were in use by other threads until the time was over", context()};
    }
}

template <class Session>
auto connection_pool<Session>::that(const std::shared_ptr<member>& m, deadline d) -> use {
    std::unique_lock lock{mutex_};
    const auto ready = [&] { return m->gone || !m->in_use; };
    if (d.is_never())
        freed_.wait(lock, ready);
    else if (!freed_.wait_until(lock, d.at(), ready))
        throw connection_error{"the connection to " + server_ + " was in use by other threads until the time was over",
                               context()};
    if (m->gone) throw no_answer{"the connection that held the lock is gone", context()};
    m->in_use = true;
    return {*this, m};
}

template <class Session>
auto connection_pool<Session>::without_locks(deadline d) -> std::optional<use> {
    std::unique_lock lock{mutex_};
    for (const auto& m : members_) {
        if (m->in_use || m->locks > 0) continue;
        m->in_use = m->waiting = true;
        return use{*this, m};
    }
    // One must be left for statements that do not wait.
    if (members_.size() + opening_ + 1 >= limit) return std::nullopt;
    return use{*this, open(lock, true, d)};
}

template <class Session>
bool connection_pool<Session>::has_spare() const {
    const std::lock_guard lock{mutex_};
    return std::any_of(members_.begin(), members_.end(), [](const auto& m) { return !m->in_use && m->locks == 0; });
}

template <class Session>
void connection_pool<Session>::put_back(const std::shared_ptr<member>& m) noexcept {
    std::unique_lock lock{mutex_};
    m->in_use = m->waiting = false;
    if (m->gone) return;
    if (m->hung_up || !m->s.usable()) return retire(lock, m, m->s.last_words());
    if (m->locks == 0) {
        const auto idle = std::count_if(members_.begin(), members_.end(),
                                        [](const auto& other) { return !other->in_use && other->locks == 0; });
        if (static_cast<std::size_t>(idle) > spares) {
            m->gone = true;
            std::erase(members_, m);
        }
    }
    lock.unlock();
    freed_.notify_all();
}

template <class Session>
auto connection_pool<Session>::idle_holders() -> std::vector<use> {
    std::vector<use> all;
    const std::lock_guard lock{mutex_};
    for (const auto& m : members_) {
        if (m->in_use || m->locks == 0) continue;
        m->in_use = true;
        all.emplace_back(*this, m);
    }
    return all;
}

template <class Session>
bool connection_pool<Session>::holds_any() const {
    const std::lock_guard lock{mutex_};
    return std::any_of(members_.begin(), members_.end(), [](const auto& m) { return m->locks > 0; });
}

template <class Session>
void connection_pool<Session>::give_up(const std::shared_ptr<member>& m, const std::string& why) noexcept {
    std::unique_lock lock{mutex_};
    if (!m->gone) retire(lock, m, why);
}

template <class Session>
auto connection_pool<Session>::take_all() noexcept -> std::vector<std::shared_ptr<member>> {
    const std::lock_guard lock{mutex_};
    for (const auto& m : members_) m->gone = true;
    return std::exchange(members_, {});
}

template <class Session>
void connection_pool<Session>::retire(std::unique_lock<std::mutex>& lock, const std::shared_ptr<member>& m,
                                      const std::string& why) noexcept {
    m->gone = true;
    std::erase(members_, m);
    lock.unlock();
    gone_(*m, why);  // before it is closed, and others can have its locks
    freed_.notify_all();
}

template <class Session>
void connection_pool<Session>::heard_hang_up(std::uint64_t id) noexcept {
    std::unique_lock lock{mutex_};
    const auto found = std::find_if(members_.begin(), members_.end(), [&](const auto& m) { return m->id == id; });
    if (found == members_.end()) return;
    const auto m = *found;
    m->hung_up = true;
    if (!m->in_use) retire(lock, m, m->s.last_words());  // else whoever uses it will notice, or put it back
}

}  // namespace rowlock::detail
