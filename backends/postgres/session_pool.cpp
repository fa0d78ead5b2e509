#include "session_pool.hpp"

#include <algorithm>
#include <utility>

#include "settings.hpp"

namespace rowlock::postgres {
namespace {

// Sessions that hold nothing and are kept for the next wait all the same; opening one takes as long as 100 cycles.
constexpr std::size_t spares = 4;

}  // namespace

session_pool::session_pool(conninfo to, std::string_view backend, bool transaction_pooled, gone_function gone)
    : to_{std::move(to)},
      backend_{backend},
      transaction_pooled_{transaction_pooled},
      gone_{std::move(gone)},
      watch_{[this](std::uint64_t id) { heard_hang_up(id); }} {}

std::shared_ptr<member> session_pool::open(std::unique_lock<std::mutex>& lock, bool to_wait, deadline d) {
    const auto id = next_id_++;
    ++opening_;
    lock.unlock();
    std::shared_ptr<member> made;
    try {
        made = std::make_shared<member>(id, to_, backend_, d);
        settle_in(made->s, transaction_pooled_, d);
        watch_.add(made->s.socket(), id);
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

session_pool::use session_pool::any(deadline d) {
    std::unique_lock lock{mutex_};
    for (;;) {
        std::shared_ptr<member> best;
        bool soon = opening_ > 0;  // somebody else's, which may be free in a moment
        for (const auto& m : members_) {
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
            throw connection_error{"the connections to PostgreSQL were in use by other threads until the time was over",
                                   {.backend = std::string{backend_}}};
    }
}

session_pool::use session_pool::that(const std::shared_ptr<member>& m, deadline d) {
    std::unique_lock lock{mutex_};
    const auto ready = [&] { return m->gone || !m->in_use; };
    if (d.is_never())
        freed_.wait(lock, ready);
    else if (!freed_.wait_until(lock, d.at(), ready))
        throw no_answer{"the connection to PostgreSQL was in use by other threads until the time was over",
                        {.backend = std::string{backend_}}};
    if (m->gone) throw no_answer{"the connection that held the lock is gone", {.backend = std::string{backend_}}};
    m->in_use = true;
    return {*this, m};
}

std::optional<session_pool::use> session_pool::without_locks(deadline d) {
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

std::size_t session_pool::size() const {
    const std::lock_guard lock{mutex_};
    return members_.size();
}

void session_pool::put_back(const std::shared_ptr<member>& m) noexcept {
    std::unique_lock lock{mutex_};
    m->in_use = m->waiting = false;
    if (m->hung_up || !m->s.usable()) return retire(lock, m);
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

void session_pool::retire(std::unique_lock<std::mutex>& lock, const std::shared_ptr<member>& m) noexcept {
    m->gone = true;
    std::erase(members_, m);
    const auto why = m->s.last_words();
    lock.unlock();
    gone_(*m, why);  // before it is closed, and others can have its locks
    freed_.notify_all();
}

void session_pool::heard_hang_up(std::uint64_t id) noexcept {
    std::unique_lock lock{mutex_};
    const auto found = std::find_if(members_.begin(), members_.end(), [&](const auto& m) { return m->id == id; });
    if (found == members_.end()) return;
    const auto m = *found;
    m->hung_up = true;
    if (!m->in_use) retire(lock, m);  // else whoever uses it will notice, or put it back
}

}  // namespace rowlock::postgres
