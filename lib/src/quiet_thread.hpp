#pragma once

#include <thread>
#include <utility>

#include <signal.h>

namespace rowlock::detail {

/// Starts a thread that takes no signals: they are for the program's own threads. A new thread inherits what is blocked
/// where it is started.
/// @throws std::system_error no thread can be had
template <class Function>
[[nodiscard]] std::thread quiet_thread(Function&& f) {
    struct all_signals_blocked {
        all_signals_blocked() {
            sigset_t all;
            sigfillset(&all);
            pthread_sigmask(SIG_SETMASK, &all, &before);
        }
        ~all_signals_blocked() { pthread_sigmask(SIG_SETMASK, &before, nullptr); }
        sigset_t before;
    } const here;
    return std::thread{std::forward<Function>(f)};
}

}  // namespace rowlock::detail
