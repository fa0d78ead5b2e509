#include "canceler.hpp"

#include <algorithm>

#include <unistd.h>

#include "call_state.hpp"

namespace rowlock::odbc {
namespace {

using namespace std::chrono_literals;

// So long a call is left alone. FreeTDS puts a cancellation into the buffer in which the request may still be written,
// and sends one only for each call: what comes before the request has no effect, and none comes after it.
constexpr auto to_begin = 10ms;
// A call that is awake has its answer, or is about to sleep. If it stays awake for so long, its driver does not sleep.
constexpr auto look_again = 1ms;
constexpr auto stays_awake = 500ms;

// A system call once for each thread. In the child of a fork it is that of the parent's: then it cannot be seen whether
// the call sleeps, see call_state.
pid_t this_thread() {
    static thread_local const pid_t id = gettid();
    return id;
}

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
    if (stop.stop_possible()) by_.worker_.get_ready();  // whoever stops it could not be told that no thread can be had
    {
        const std::lock_guard lock{by_.mutex_};
        by_.watches_.push_back(this);
    }
    if (stop.stop_possible()) on_stop_.emplace(stop, [this] { end_now(); });
}

canceler::watch::~watch() {
    on_stop_.reset();
    const std::lock_guard lock{by_.mutex_};
    std::erase(by_.watches_, this);
}

void canceler::watch::begin() {
    boot_clock::time_point at;
    {
        const std::lock_guard lock{by_.mutex_};
        in_call_ = true;
        caller_ = this_thread();
        at = at_;
    }
    by_.worker_.run_by(at);
}

void canceler::watch::end() {
    in_call_ = false;  // before it sleeps here
    std::unique_lock lock{by_.mutex_};
    by_.settled_.wait(lock, [&] { return !canceling_; });
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

void canceler::cancel(watch& w, std::unique_lock<std::mutex>& lock) {
    const auto now = boot_clock::now();
    if (w.anyway_ == boot_clock::time_point::max()) w.anyway_ = now + stays_awake;
    w.canceling_ = true;  // until then it is there
    lock.unlock();
    bool asked = false;
    const call_state call{w.caller_};
    const bool asleep = call.asleep();
    if ((asleep || now >= w.anyway_) && w.in_call_) {
        asked = true;
        SQLCancel(w.statement_);  // psqlODBC connects to the server for that
    }
    lock.lock();
    if (asleep) w.anyway_ = boot_clock::time_point::max();
    w.canceling_ = false;
    w.asked_ = w.asked_ || asked;
    w.at_ = now + (asked ? w.pause_ : look_again);
    if (asked) w.pause_ = std::min<std::chrono::milliseconds>(2 * w.pause_, 100ms);
    settled_.notify_all();
}

boot_clock::time_point canceler::work() {
    std::unique_lock lock{mutex_};
    for (;;) {
        const auto now = boot_clock::now();
        const auto due = std::find_if(watches_.begin(), watches_.end(),
                                      [&](const watch* w) { return w->in_call_ && w->at_ <= now; });
        if (due == watches_.end()) break;
        cancel(**due, lock);
    }
    auto next = boot_clock::time_point::max();
    for (const auto* w : watches_)
        if (w->in_call_) next = std::min(next, w->at_);
    return next;
}

}  // namespace rowlock::odbc
