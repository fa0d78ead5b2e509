#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include <sys/types.h>

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
/// It leaves the first call of a statement its first 10 ms, and then asks until it has returned: a cancellation that
/// comes before the server has begun with the statement has no effect.
///
/// It asks only while the call sleeps, in the poll of its driver: what SQLCancel of FreeTDS 1.3.17 (and of 1.5.18) does
/// while the call reads its answer, it does without a lock. It sends the cancellation itself then, as nobody seems to
/// use the network, and the call, which has to wait for that, is not woken when it is done (tds_send_cancel, and
/// tds_connection_network in packet.c). A moment remains between the look and the cancellation. So calls that may be
/// canceled need a driver's timeout, too; see `connection::driver_timeout`.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class canceler {
public:
    canceler() = default;
    canceler(const canceler&) = delete;
    canceler& operator=(const canceler&) = delete;

    /// What `during` runs on `statement` is canceled at `d`, or when `stop` is requested. Costs no system call unless
    /// it comes to that.
    class watch {
    public:
        watch(canceler& by, SQLHSTMT statement, deadline d, const std::stop_token& stop);
        ~watch();
        watch(const watch&) = delete;
        watch& operator=(const watch&) = delete;

        /// Makes a call of ODBC on the statement. When it has returned, nothing will be canceled until the next one.
        template <class Call>
        SQLRETURN during(Call call) {
            begin();
            const SQLRETURN rc = call();
            end();
            return rc;
        }

        /// Whether SQLCancel was called.
        [[nodiscard]] bool asked() const;

    private:
        friend canceler;
        void begin();
        void end();
        void end_now();

        canceler& by_;
        const SQLHSTMT statement_;
        const boot_clock::time_point not_before_;
        boot_clock::time_point at_;  ///< the rest: under the canceler's lock
        std::chrono::milliseconds pause_{10};
        boot_clock::time_point anyway_ = boot_clock::time_point::max();  ///< even if it does not seem to sleep
        pid_t caller_ = 0;
        std::atomic<bool> in_call_{false};
        bool canceling_ = false;
        bool asked_ = false;
        std::optional<std::stop_callback<std::function<void()>>> on_stop_;  // last: is called while the rest is there
    };

private:
    boot_clock::time_point work();
    void cancel(watch& w, std::unique_lock<std::mutex>& lock);

    std::mutex mutex_;
    std::condition_variable settled_;
    std::vector<watch*> watches_;
    detail::worker worker_{[this] { return work(); }};  // last: it ends first
};

}  // namespace rowlock::odbc
