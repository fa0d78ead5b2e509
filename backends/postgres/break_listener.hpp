#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>

#include <side_jobs.hpp>

#include "session_source.hpp"

namespace rowlock::postgres {

/// Hears at once that an operator broke a lease: one of the provider's own sessions also listens, and a thread watches
/// its socket while nothing runs there. If that session ends, another one that somebody has opened listens a second
/// later; if it is used to wait for a lock, another one as soon as a lease is held there. What was missed is found out
/// then, or when leases are next renewed.
///
/// Distinct objects: safe.
/// Shared objects: `start()` from any thread.
class break_listener {
public:
    /// @param operation_timeout bound on one statement, and on waiting for the session
    /// @param heard runs in the listener's thread
    break_listener(session_source& sessions, std::chrono::milliseconds operation_timeout, std::function<void()> heard);
    ~break_listener() = default;
    break_listener(const break_listener&) = delete;
    break_listener& operator=(const break_listener&) = delete;

    /// There is a lease now, granted in that session: listens from now on, in one that does not wait.
    /// @throws std::system_error no thread can be had for it
    void start(const session_source::member& holder);

private:
    void run(const std::stop_token& stop);
    void keep(std::shared_ptr<session_source::member> m) noexcept;
    void listen_in(session_source::use here);

    enum class what_came { nothing, end, news, something };
    [[nodiscard]] what_came wait(int socket, int milliseconds) const;
    [[nodiscard]] bool is_taken_by_others(int socket) const;

    session_source& sessions_;
    const std::chrono::milliseconds operation_timeout_;
    const std::function<void()> heard_;
    const wake_up end_;
    const std::shared_ptr<const wake_up> news_ = std::make_shared<const wake_up>();
    std::mutex mutex_;
    std::shared_ptr<session_source::member> in_;
    std::once_flag started_;
    detail::side_jobs job_;  // last: it ends first
};

}  // namespace rowlock::postgres
