#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <rowlock/observer.hpp>

namespace rowlock::detail {

/// Tells the user's observer, if there is one, and shields the library from what it throws.
class event_sink {
public:
    event_sink(std::shared_ptr<observer> to, std::string_view backend) : to_{std::move(to)}, backend_{backend} {}

    [[nodiscard]] std::string_view backend() const noexcept { return backend_; }

    /// False: nobody listens, and there is no need to find out what to tell.
    [[nodiscard]] bool heard() const noexcept { return to_ != nullptr; }
    /// Reads the clock only if somebody will be told.
    [[nodiscard]] std::chrono::steady_clock::time_point now() const {
        return heard() ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point{};
    }

    using event_function = void (observer::*)(const lock_event&);

    void tell(event_function what, lock_event e) const noexcept {
        if (!to_) return;
        e.backend = backend_;
        try {
            ((*to_).*what)(e);
        } catch (...) {  // promised by observer: it changes nothing for the lock
        }
    }

private:
    std::shared_ptr<observer> to_;
    std::string backend_;
};

}  // namespace rowlock::detail
