#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <rowlock/fencing_token.hpp>
#include <rowlock/primitive.hpp>

namespace rowlock {

/// One who holds a lock.
struct holder_status {
    lock_mode mode = lock_mode::exclusive;
    std::string owner{};
    std::optional<fencing_token> token{};
    std::chrono::system_clock::time_point since{};          ///< wall clock of the database's host, for people
    std::optional<std::chrono::milliseconds> expires_in{};  ///< leases only
};

/// One who waits, in the order in which they will be served where the back end is fair.
struct waiter_status {
    lock_mode mode = lock_mode::exclusive;
    std::string owner{};
    std::chrono::system_clock::time_point since{};
};

/// A name that somebody holds or waits for.
struct lock_status {
    std::string name{};
    std::vector<holder_status> holders{};
    std::vector<waiter_status> waiters{};
};

}  // namespace rowlock
