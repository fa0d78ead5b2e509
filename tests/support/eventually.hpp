#pragma once

#include <chrono>
#include <thread>

#include "slack.hpp"

namespace rowlock::test {

/// Waits until `condition()` is true; false if it is still not after `limit`. For what can only be looked at, not
/// waited for, such as a waiter's appearance in status().
template <class Condition>
[[nodiscard]] bool eventually(Condition condition, std::chrono::milliseconds limit = patience) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= end) return condition();
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    return true;
}

}  // namespace rowlock::test
