#include "errand.hpp"

#include <exception>
#include <mutex>
#include <system_error>
#include <utility>

#include <rowlock/error.hpp>

#include <condition.hpp>
#include <quiet_thread.hpp>

namespace rowlock::odbc {

struct errand::state {
    explicit state(std::function<void()> w) : what{std::move(w)} {}

    std::function<void()> what;
    std::mutex mutex{};
    detail::condition ended{};
    bool over = false;
    std::exception_ptr failure{};
};

errand::errand(std::function<void()> what) : state_{std::make_shared<state>(std::move(what))} {
    try {
        detail::quiet_thread([s = state_] {
            std::exception_ptr failure;
            try {
                s->what();
            } catch (...) {
                failure = std::current_exception();
            }
            s->what = nullptr;  // here: it may be the last that keeps a connection
            const std::lock_guard lock{s->mutex};
            s->failure = failure;
            s->over = true;
            s->ended.notify_all();
        }).detach();
    } catch (const std::system_error& e) {
        throw connection_error{std::string{"no thread can be had to call ODBC in: "} + e.what()};
    }
}

bool errand::done(const wait_bound& w, std::chrono::milliseconds grace) {
    std::unique_lock lock{state_->mutex};
    const auto over = [&] { return state_->over; };
    auto& ended = state_->ended;
    if (!ended.wait(lock, w, over) && !ended.wait(lock, {.until = deadline::after(grace)}, over)) return false;
    if (const auto failure = std::exchange(state_->failure, nullptr)) std::rethrow_exception(failure);
    return true;
}

}  // namespace rowlock::odbc
