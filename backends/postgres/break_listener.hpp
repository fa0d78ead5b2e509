#pragma once

#include <functional>
#include <mutex>
#include <stop_token>
#include <string_view>

#include <side_jobs.hpp>

#include "session.hpp"

namespace rowlock::postgres {

/// Hears at once that an operator broke a lease, in a session and a thread of its own: NOTIFY goes only to sessions
/// that do nothing else. If the session ends, another one is opened a second later; what was missed is found out when
/// leases are next renewed.
///
/// Distinct objects: safe.
/// Shared objects: `start()` from any thread.
class break_listener {
public:
    break_listener(conninfo to, std::string_view backend, std::function<void()> heard);
    ~break_listener() = default;
    break_listener(const break_listener&) = delete;
    break_listener& operator=(const break_listener&) = delete;

    /// Begins to listen; nothing happens if it does already.
    void start();

private:
    void run(const std::stop_token& stop);
    void listen(const std::stop_token& stop);

    const conninfo to_;
    const std::string_view backend_;
    const std::function<void()> heard_;
    const wake_up end_;
    std::once_flag started_;
    detail::side_jobs job_;  // last: it ends first
};

}  // namespace rowlock::postgres
