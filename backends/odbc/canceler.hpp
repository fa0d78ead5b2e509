#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include <rowlock/deadline.hpp>

#include <worker.hpp>

#include "handle.hpp"

namespace rowlock::odbc {

/// Ends calls of ODBC that last too long, or are not wanted any more, with SQLCancel from a thread of its own.
///
/// ODBC has two other ways, and neither will do. SQL_ATTR_QUERY_TIMEOUT counts whole seconds, and psqlODBC sends a
/// statement of its own whenever it changes. Asynchronous execution is missing in FreeTDS and psqlODBC. SQLCancel from
/// another thread is what all drivers have.
///
/// It leaves a call its first 10 ms, and then asks until it has returned: a cancellation that comes before the server
/// has begun with the statement has no effect.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class canceler {
public:
    canceler() = default;
    canceler(const canceler&) = delete;
    canceler& operator=(const canceler&) = delete;

    /// While it lives, what runs on `statement` is canceled at `d`, or when `stop` is requested. When its destructor
    /// has returned, nothing will be canceled on that any more. Costs no system call unless it comes to that.
    class watch {
    public:
        watch(canceler& by, SQLHSTMT statement, deadline d, const std::stop_token& stop);
        ~watch();
        watch(const watch&) = delete;
        watch& operator=(const watch&) = delete;

        /// Whether SQLCancel was called.
        [[nodiscard]] bool asked() const;

    private:
        friend canceler;
        void end_now();

        canceler& by_;
        const SQLHSTMT statement_;
        const boot_clock::time_point not_before_;
        boot_clock::time_point at_;  ///< the rest: under the canceler's lock
        std::chrono::milliseconds pause_{10};
        bool canceling_ = false;
        bool asked_ = false;
        std::optional<std::stop_callback<std::function<void()>>> on_stop_;  // last: is called while the rest is there
    };

private:
    boot_clock::time_point work();

    std::mutex mutex_;
    std::condition_variable settled_;
    std::vector<watch*> watches_;
    detail::worker worker_{[this] { return work(); }};  // last: it ends first
};

}  // namespace rowlock::odbc
