#pragma once

#include <chrono>

#include <connection_pool.hpp>
#include <worker.hpp>

#include "lease_session.hpp"

namespace rowlock::sqlserver {

/// They can reach the tables, too, where grants have tokens.
using applock_pool = detail::connection_pool<lease_session>;

/// Hears that a session is lost while nobody uses it: ODBC shows no socket that could be watched. So sessions that hold
/// locks and do nothing are asked for a sign of life, and one that gives none is given up. While nothing is held,
/// nothing is asked.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class applock_pulse {
public:
    static constexpr std::chrono::seconds interval{2};

    /// @param patience how long an answer may take
    applock_pulse(applock_pool& sessions, std::chrono::milliseconds patience)
        : sessions_{sessions}, patience_{patience} {}

    /// Waits for an answer that is under way.
    void stop() { worker_.stop(); }

    /// Before the first lock is granted: after that, nothing must fail.
    void get_ready() { worker_.get_ready(); }
    /// A session holds a lock. Costs no system call, unless it is the first for a while.
    void start() { worker_.run_by(boot_clock::now() + interval); }

private:
    boot_clock::time_point beat();

    applock_pool& sessions_;
    const std::chrono::milliseconds patience_;
    detail::worker worker_{[this] { return beat(); }};  // last: it ends first
};

/// Gives back whatever the sessions hold, closes them, and waits `patience` for that at most: a driver that hangs is
/// left to itself.
struct left_over {
    std::shared_ptr<applock_pool::member> at;
    std::string resource;
};
void close_all(applock_pool& sessions, std::vector<left_over> held, std::chrono::milliseconds patience) noexcept;

}  // namespace rowlock::sqlserver
