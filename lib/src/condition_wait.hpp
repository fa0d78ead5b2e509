#pragma once

#include <condition_variable>
#include <mutex>

#include <rowlock/deadline.hpp>

namespace rowlock::detail {

/// Until `condition`, or until `w` is over; then false.
template <class Condition>
bool wait(std::condition_variable_any& c, std::unique_lock<std::mutex>& lock, const wait_bound& w,
          Condition condition) {
    if (w.until.is_never()) return c.wait(lock, w.stop, condition);
    return c.wait_until(lock, w.stop, w.until.at(), condition);
}

}  // namespace rowlock::detail
