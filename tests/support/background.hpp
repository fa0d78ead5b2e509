#pragma once

#include <future>
#include <utility>

namespace rowlock::test {

/// Runs `f` in a thread; its result, or what it threw, comes out of get(). Boost.Test's checks are not for several
/// threads at once: let `f` return what there is to check.
template <class Function>
[[nodiscard]] auto in_background(Function f) {
    return std::async(std::launch::async, std::move(f));
}

/// Whether `f()` throws an Error; other exceptions come through.
template <class Error, class Function>
[[nodiscard]] bool throws(Function f) {
    try {
        f();
    } catch (const Error&) {
        return true;
    }
    return false;
}

}  // namespace rowlock::test
