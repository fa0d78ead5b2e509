#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include <connection_source.hpp>
#include <no_answer.hpp>
#include <turns.hpp>

#include "borrowed_handle.hpp"

namespace rowlock::odbc {

/// The caller's connection as a source of one session, for one operation at a time. Who waits for a lock in it gives
/// way to whoever has something shorter to do.
///
/// Before each use the connection is compared with the one that was adopted. Between uses nothing of it is touched, so
/// that it is gone is noticed when it is next used.
///
/// @tparam Session has `usable()`, `last_words()`, and `heard_close()`, after which it frees nothing of the connection
///
/// Distinct objects: safe; there can be one for each connection.
/// Shared objects: safe.
template <class Session>
class borrowed_connection final : public detail::connection_source<Session> {
public:
    using base = detail::connection_source<Session>;
    using typename base::gone_function;
    using typename base::member;
    using typename base::use;

    /// @param server "SQL Server", for messages
    /// @param how to make the session
    /// @throws as borrowed_handle
    template <class... How>
    borrowed_connection(SQLHDBC theirs, std::string_view server, std::string_view backend, gone_function gone,
                        How&&... how)
        : handle_{theirs, backend},
          server_{server},
          backend_{backend},
          gone_{std::move(gone)},
          only_{std::make_shared<member>(0, std::forward<How>(how)...)} {
        only_->in_use = false;
    }
    ~borrowed_connection() override {
        if (!handle_.still_there()) only_->s.heard_close();
    }

    [[nodiscard]] use any(deadline d) override;
    [[nodiscard]] use that(const std::shared_ptr<member>&, deadline d) override { return any(d); }
    using base::without_locks;
    /// Empty also if somebody waits in it already.
    [[nodiscard]] std::optional<use> without_locks(const wait_bound& w, std::chrono::milliseconds connecting) override;

    /// Looks at it without using it.
    /// @throws no_answer it is gone
    void check_ready() {
        std::unique_lock lock{mutex_};
        if (!only_->in_use) check_there(lock);
    }
    /// For who waits in it, that is, has a `use` of without_locks(): requested as soon as somebody else wants it.
    [[nodiscard]] std::stop_token wanted() const {
        const std::lock_guard lock{mutex_};
        return give_way_.get_token();
    }

    /// Whether somebody waits in it.
    [[nodiscard]] bool somebody_waits() const {
        const std::lock_guard lock{mutex_};
        return only_->waiting;
    }

private:
    void put_back(const std::shared_ptr<member>& m) noexcept override;
    void check_there(std::unique_lock<std::mutex>& lock);
    void end(std::unique_lock<std::mutex>& lock, const std::string& why) noexcept;

    const borrowed_handle handle_;
    const std::string server_;
    const std::string_view backend_;
    const gone_function gone_;

    mutable std::mutex mutex_;
    detail::turns turns_;
    std::stop_source give_way_;
    int wanted_ = 0;
    std::shared_ptr<member> only_;
};

template <class Session>
void borrowed_connection<Session>::check_there(std::unique_lock<std::mutex>& lock) {
    if (!only_->gone && !handle_.still_there()) {
        only_->s.heard_close();
        end(lock, only_->s.last_words());
    }
    if (only_->gone)
        throw detail::no_answer{
            "the connection that this provider was made on is gone, and with it all its locks; make "
            "a new provider on a new connection",
            {.backend = std::string{backend_}}};
}

template <class Session>
auto borrowed_connection<Session>::any(deadline d) -> use {
    std::unique_lock lock{mutex_};
    const auto free = [&](const detail::turns::turn* mine) {
        return only_->gone || (!only_->in_use && turns_.may_use(only_.get(), mine));
    };
    if (!free(nullptr)) {
        ++wanted_;
        if (only_->waiting) give_way_.request_stop();
        bool got = false;
        {
            const detail::turns::turn mine{turns_};
            got = turns_.wait(lock, {.until = d}, [&] { return free(&mine); });
            --wanted_;
        }
        if (!got)
            throw connection_error{
                "the connection to " + server_ + " was in use by other threads until the time was over",
                {.backend = std::string{backend_}}};
    }
    check_there(lock);
    only_->in_use = true;
    return {*this, only_};
}

template <class Session>
auto borrowed_connection<Session>::without_locks(const wait_bound& w, std::chrono::milliseconds) -> std::optional<use> {
    std::unique_lock lock{mutex_};
    const auto ready = [&] { return only_->gone || only_->waiting || (!only_->in_use && wanted_ == 0); };
    if (!turns_.wait(lock, w, ready)) return std::nullopt;
    if (!only_->gone && only_->waiting) return std::nullopt;
    check_there(lock);
    only_->in_use = only_->waiting = true;
    give_way_ = std::stop_source{};
    return use{*this, only_};
}

template <class Session>
void borrowed_connection<Session>::put_back(const std::shared_ptr<member>&) noexcept {
    std::unique_lock lock{mutex_};
    only_->in_use = only_->waiting = false;
    if (!only_->gone && !only_->s.usable()) end(lock, only_->s.last_words());
    lock.unlock();
    turns_.look_again();
}

template <class Session>
void borrowed_connection<Session>::end(std::unique_lock<std::mutex>& lock, const std::string& why) noexcept {
    only_->gone = true;
    lock.unlock();
    gone_(*only_, why);
    turns_.look_again();
    lock.lock();
}

}  // namespace rowlock::odbc
