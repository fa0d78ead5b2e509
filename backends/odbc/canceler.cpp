#include "canceler.hpp"

#include <algorithm>

namespace rowlock::odbc {
namespace {

using namespace std::chrono_literals;

// So long a call is left alone. FreeTDS puts a cancellation into the buffer in which the request may still be written,
// and sends one only for each call: what comes before the request has no effect, and none comes after it.
constexpr auto to_begin = 10ms;

boot_clock::time_point on_boot_clock(deadline d) {
    if (d.is_never()) return boot_clock::time_point::max();
    const auto now = boot_clock::now();
    const auto left = std::chrono::duration_cast<boot_clock::duration>(d.remaining());
    return boot_clock::time_point::max() - now < left ? boot_clock::time_point::max() : now + left;
}

}  // namespace

canceler::watch::watch(canceler& by, SQLHSTMT statement, deadline d, const std::stop_token& stop)
    : by_{by},
      statement_{statement},
      not_before_{boot_clock::now() + to_begin},
      at_{std::max(on_boot_clock(d), not_before_)} {
    const auto at = at_;
    {
        const std::lock_guard lock{by_.mutex_};
        by_.watches_.push_back(this);
    }
    by_.worker_.run_by(at);
    if (stop.stop_possible()) on_stop_.emplace(stop, [this] { end_now(); });
}

canceler::watch::~watch() {
    on_stop_.reset();
    std::unique_lock lock{by_.mutex_};
    by_.settled_.wait(lock, [&] { return !canceling_; });
    std::erase(by_.watches_, this);
}

bool canceler::watch::asked() const {
    const std::lock_guard lock{by_.mutex_};
    return asked_;
}

void canceler::watch::end_now() {
    {
        const std::lock_guard lock{by_.mutex_};
        at_ = not_before_;
    }
    by_.worker_.run_by(not_before_);
}

boot_clock::time_point canceler::work() {
    std::unique_lock lock{mutex_};
    for (;;) {
        const auto now = boot_clock::now();
        const auto due = std::find_if(watches_.begin(), watches_.end(), [&](const watch* w) { return w->at_ <= now; });
        if (due == watches_.end()) break;
        auto& w = **due;
        w.canceling_ = w.asked_ = true;
        w.at_ = now + w.pause_;
        w.pause_ = std::min<std::chrono::milliseconds>(2 * w.pause_, 100ms);
        lock.unlock();
        SQLCancel(w.statement_);  // psqlODBC connects to the server for that
        lock.lock();
        w.canceling_ = false;
        settled_.notify_all();
    }
    auto next = boot_clock::time_point::max();
    for (const auto* w : watches_) next = std::min(next, w->at_);
    return next;
}

}  // namespace rowlock::odbc
