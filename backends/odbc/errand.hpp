#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include <rowlock/deadline.hpp>

namespace rowlock::odbc {

/// A call of ODBC in a thread of its own, so that the one who waits for it need not wait for ever: a driver may not
/// come back from a dead network, and nothing ends it there. Such a thread goes on alone until the driver lets it go;
/// so what it uses must be its own, or shared with it.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class errand {
public:
    /// Starts it. @throws connection_error no thread can be had
    explicit errand(std::function<void()> what);

    /// Waits until it is done, or until `w` is over and `grace` after that; then false. What it threw comes out here.
    [[nodiscard]] bool done(const wait_bound& w, std::chrono::milliseconds grace = {});

private:
    struct state;
    std::shared_ptr<state> state_;
};

}  // namespace rowlock::odbc
