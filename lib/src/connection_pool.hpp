#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "connection_source.hpp"
#include "no_answer.hpp"
#include "side_jobs.hpp"
#include "turns.hpp"

namespace rowlock::detail {

/// The few connections of one provider. One keeps all locks that were free when they were asked for; waiting is done on
/// others that hold nothing, so that giving back never queues behind a wait. Who waited for a lock keeps it.
///
/// Connections for waits are opened in threads of their own, since a wait may be over before that. Those who want the
/// same session for a moment have it in turns.
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

    /// Opens a session, ready for use, or throws. Several threads may call it at once. When it is told to stop, nobody
    /// needs the session any more.
    using open_function = std::function<std::shared_ptr<member>(std::uint64_t id, const wait_bound& w)>;

    /// @param server what it connects to, for messages
    /// @param gone called before the session is closed
    connection_pool(open_function make, std::string_view server, std::string_view backend, gone_function gone)
        : make_{std::move(make)}, server_{server}, backend_{backend}, gone_{std::move(gone)} {}

    /// The free session with the most locks.
    [[nodiscard]] use any(deadline d) override;
    [[nodiscard]] std::optional<use> any_open(deadline d) override;
    [[nodiscard]] use that(const std::shared_ptr<member>& m, deadline d) override;
    using connection_source<Session>::without_locks;
    /// Empty also if all that may be opened are in use or hold locks.
    [[nodiscard]] std::optional<use> without_locks(const wait_bound& w, std::chrono::milliseconds connecting) override;
    [[nodiscard]] bool has_spare() const override;

    /// Sessions that hold locks and do nothing: all of them, in the caller's hands.
    [[nodiscard]] std::vector<use> idle_holders();
    /// Whether any session holds a lock.
    [[nodiscard]] bool holds_any() const;

    void give_up(const std::shared_ptr<member>& m, const std::string& why) noexcept override;
    /// Takes all out, without telling anybody.
    [[nodiscard]] std::vector<std::shared_ptr<member>> take_all() noexcept;

    [[nodiscard]] std::size_t size() const {
        const std::lock_guard lock{mutex_};
        return members_.size();
    }

protected:
    /// Ends what opens connections now; for whoever has something that `open_function` needs.
    void stop_opening() noexcept { aside_.stop(); }
    /// The session's other end is gone: it is taken out, now or by who uses it.
    void heard_hang_up(std::uint64_t id) noexcept;

private:
    // Sessions that hold nothing and are kept for the next wait all the same; opening one takes as long as 100 cycles.
    static constexpr std::size_t spares = 4;

    /// A connection that is opened aside, for somebody who may not wait for it to the end.
    struct opening {
        const std::uint64_t id;
        bool wanted = true;
        bool over = false;
        std::shared_ptr<member> made{};
        std::exception_ptr failure{};
    };

    void put_back(const std::shared_ptr<member>& m) noexcept override;
    void take_out_surplus(const std::shared_ptr<member>& m) noexcept;
    std::shared_ptr<member> take_free(std::unique_lock<std::mutex>& lock, deadline d);
    std::shared_ptr<member> open(std::unique_lock<std::mutex>& lock, deadline d);
    std::shared_ptr<opening> open_aside(std::chrono::milliseconds connecting);
    void run(opening& o, const wait_bound& w) noexcept;
    void retire(std::unique_lock<std::mutex>& lock, const std::shared_ptr<member>& m, const std::string& why) noexcept;
    // Under the lock.
    [[nodiscard]] bool is_spare(const std::shared_ptr<member>& m) const noexcept {
        return !m->in_use && m->locks == 0 && (!m->kept || !any_holds());
    }
    [[nodiscard]] bool any_holds() const noexcept {
        return std::any_of(members_.begin(), members_.end(), [](const auto& m) { return m->locks > 0; });
    }
    [[noreturn]] void throw_in_use() const {
        throw connection_error{
            "the connections to " + server_ + " were in use by other threads until the time was over", context()};
    }
    [[nodiscard]] error_context context() const { return {.backend = std::string{backend_}}; }

    const open_function make_;
    const std::string server_;
    const std::string_view backend_;
    const gone_function gone_;

    mutable std::mutex mutex_;
    turns turns_;
    std::vector<std::shared_ptr<member>> members_;
    std::size_t opening_ = 0;        // by who uses it for a moment
    std::size_t opening_aside_ = 0;  // for waits
    std::uint64_t next_id_ = 0;
    side_jobs aside_;  // last: its threads end first
};

template <class Session>
auto connection_pool<Session>::open(std::unique_lock<std::mutex>& lock, deadline d) -> std::shared_ptr<member> {
    const auto id = next_id_++;
    ++opening_;
    lock.unlock();
    std::shared_ptr<member> made;
    std::exception_ptr failure;
    try {
        made = make_(id, {.until = d});
    } catch (...) {
        failure = std::current_exception();
    }
    lock.lock();
    --opening_;
    turns_.look_again();
    if (failure) std::rethrow_exception(failure);
    members_.push_back(made);
    return made;
}

// Under the lock.
template <class Session>
auto connection_pool<Session>::open_aside(std::chrono::milliseconds connecting) -> std::shared_ptr<opening> {
    const auto mine = std::make_shared<opening>(opening{.id = next_id_++});
    try {
        aside_.start([this, mine, d = deadline::after(connecting)](std::stop_token stop) {
            run(*mine, {d, std::move(stop)});
        });
    } catch (const std::system_error& e) {
        throw connection_error{std::string{"no thread can be had to connect to "} + server_ + " in: " + e.what(),
                               context()};
    }
    ++opening_aside_;
    return mine;
}

template <class Session>
void connection_pool<Session>::run(opening& o, const wait_bound& w) noexcept {
    std::shared_ptr<member> made;
    std::exception_ptr failure;
    try {
        made = make_(o.id, w);
    } catch (...) {
        failure = std::current_exception();
    }
    const std::lock_guard lock{mutex_};
    --opening_aside_;
    o.over = true;
    o.failure = failure;
    if (made) {
        members_.push_back(made);
        made->in_use = made->waiting = o.wanted;
        if (o.wanted)
            o.made = made;
        else
            take_out_surplus(made);
    }
    turns_.look_again();
}

// Null: one may be opened.
template <class Session>
auto connection_pool<Session>::take_free(std::unique_lock<std::mutex>& lock, deadline d) -> std::shared_ptr<member> {
    std::shared_ptr<member> best;
    const auto look = [&](const turns::turn* mine) {
        best = nullptr;
        bool soon = opening_ > 0;  // somebody else's, which may be free in a moment
        for (const auto& m : members_) {
            if (m->reserved) continue;
            if (m->in_use)
                soon = soon || !m->waiting;
            else if (!turns_.may_use(m.get(), mine))
                soon = true;
            else if (!best || m->locks > best->locks)
                best = m;
        }
        return best || !soon;
    };
    if (!look(nullptr)) {
        const turns::turn mine{turns_};
        if (!turns_.wait(lock, {.until = d}, [&] { return look(&mine); })) throw_in_use();
    }
    if (best) best->in_use = true;
    return best;
}

template <class Session>
auto connection_pool<Session>::any(deadline d) -> use {
    std::unique_lock lock{mutex_};
    auto m = take_free(lock, d);
    if (!m) m = open(lock, d);
    return {*this, std::move(m)};
}

template <class Session>
auto connection_pool<Session>::any_open(deadline d) -> std::optional<use> {
    std::unique_lock lock{mutex_};
    if (auto m = take_free(lock, d)) return use{*this, std::move(m)};
    return std::nullopt;
}

template <class Session>
auto connection_pool<Session>::that(const std::shared_ptr<member>& m, deadline d) -> use {
    std::unique_lock lock{mutex_};
    const auto ready = [&](const turns::turn* mine) {
        return m->gone || (!m->in_use && turns_.may_use(m.get(), mine, m->reserved));
    };
    if (!ready(nullptr)) {
        const turns::turn mine{turns_, m.get()};
        if (!turns_.wait(lock, {.until = d}, [&] { return ready(&mine); })) throw_in_use();
    }
    if (m->gone) throw no_answer{"the connection that held the lock is gone", context()};
    m->in_use = true;
    return {*this, m};
}

template <class Session>
auto connection_pool<Session>::without_locks(const wait_bound& w, std::chrono::milliseconds connecting)
    -> std::optional<use> {
    std::unique_lock lock{mutex_};
    std::shared_ptr<opening> mine;
    // A wait lasts, so it gives way to who has come to want that connection.
    const auto usable = [&](const std::shared_ptr<member>& m) { return is_spare(m) && turns_.may_use(m.get()); };
    for (;;) {
        if (mine && mine->over) {
            if (mine->failure) std::rethrow_exception(mine->failure);
            return use{*this, std::move(mine->made)};
        }
        const auto idle = std::find_if(members_.begin(), members_.end(), usable);
        if (idle != members_.end()) {
            if (mine) mine->wanted = false;
            (*idle)->in_use = (*idle)->waiting = true;
            return use{*this, *idle};
        }
        if (!mine) {
            // One must be left for statements that do not wait.
            if (w.over() || members_.size() + opening_ + opening_aside_ + 1 >= limit) return std::nullopt;
            mine = open_aside(connecting);
        }
        const auto ready = [&] { return mine->over || std::any_of(members_.begin(), members_.end(), usable); };
        if (!turns_.wait(lock, w, ready)) {
            mine->wanted = false;
            return std::nullopt;
        }
    }
}

template <class Session>
bool connection_pool<Session>::has_spare() const {
    const std::lock_guard lock{mutex_};
    return std::any_of(members_.begin(), members_.end(), [&](const auto& m) { return is_spare(m); });
}

template <class Session>
void connection_pool<Session>::put_back(const std::shared_ptr<member>& m) noexcept {
    std::unique_lock lock{mutex_};
    m->in_use = m->waiting = false;
    if (m->gone) return;
    if (m->hung_up || !m->s.usable()) return retire(lock, m, m->s.last_words());
    take_out_surplus(m);
    lock.unlock();
    turns_.look_again();
}

// Under the lock. Whoever calls keeps it alive until after that: closing may take long.
template <class Session>
void connection_pool<Session>::take_out_surplus(const std::shared_ptr<member>& m) noexcept {
    if (m->locks > 0 || m->kept) return;
    const auto idle = std::count_if(members_.begin(), members_.end(), [&](const auto& one) { return is_spare(one); });
    if (static_cast<std::size_t>(idle) <= spares) return;
    m->gone = true;
    std::erase(members_, m);
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
    return any_holds();
}

template <class Session>
void connection_pool<Session>::give_up(const std::shared_ptr<member>& m, const std::string& why) noexcept {
    std::unique_lock lock{mutex_};
    if (!m->gone) retire(lock, m, why);
}

template <class Session>
auto connection_pool<Session>::take_all() noexcept -> std::vector<std::shared_ptr<member>> {
    stop_opening();
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
    turns_.look_again();
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
