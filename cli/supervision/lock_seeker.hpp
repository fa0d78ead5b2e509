#pragma once

#include <exception>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include <rowlock/lock_handle.hpp>
#include <rowlock/provider.hpp>

#include "../unique_fd.hpp"
#include "run_request.hpp"

namespace rowlock::cli {

/// Opens the database and waits for the lock in a thread of its own, so that signals are heard meanwhile.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class lock_seeker {
public:
    struct outcome {
        std::optional<lock_handle> held{};
        std::exception_ptr problem{};
        std::string holders{};  ///< neither held nor problem: who has it, for people; may be empty
    };

    explicit lock_seeker(const run_request& request);

    /// Begins to wait; may be called again after `take()`.
    void start();

    /// Ends the wait soon. The outcome may be the lock all the same.
    void cancel() noexcept { thread_.request_stop(); }

    /// Readable once there is an outcome.
    [[nodiscard]] int fd() const noexcept { return ready_.get(); }

    [[nodiscard]] outcome take();

    /// Where the lock is from; empty before the first success in opening it.
    [[nodiscard]] const std::optional<provider>& locks() const noexcept { return locks_; }

    /// Closes the database.
    void close();

private:
    void seek(const std::stop_token& stop);
    std::optional<lock_handle> acquire(const std::stop_token& stop);
    [[nodiscard]] std::string holders() const;

    const run_request& request_;
    unique_fd ready_;
    std::optional<provider> locks_;
    outcome outcome_;
    std::jthread thread_;  // last: it uses the others
};

}  // namespace rowlock::cli
