#include "keeper.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include <rowlock/error.hpp>

#include "../duration.hpp"
#include "../exit_status.hpp"
#include "../report.hpp"
#include "job.hpp"
#include "launcher.hpp"
#include "lock_seeker.hpp"
#include "process_tree.hpp"

namespace rowlock::cli {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

sigset_t only(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    return set;
}

bool ends_a_wait(int number) { return number == SIGINT || number == SIGTERM || number == SIGHUP || number == SIGQUIT; }

std::string why_lost(const lock_handle& held) {
    const auto detail = held.lost_detail();
    const auto said = detail.empty() ? "" : " (" + detail + ")";
    switch (held.lost_reason().value_or(loss_reason::server)) {
        case loss_reason::expired:
            return "its lease ran out before it could be renewed: rowlock was paused, or the database did not answer" +
                   said;
        case loss_reason::connection:
            return "the connection that held it is gone" + said;
        case loss_reason::broken:
            return detail.empty() ? "it was broken by an operator" : detail;
        case loss_reason::server:
            break;
    }
    return "the database does not know of it any more" + said;
}

// Notices when the process in front is stopped alone. It is asked for rarely: a stop is borne for one time to live.
class front_watch {
public:
    front_watch(pid_t front, std::chrono::milliseconds patience) : front_{front}, patience_{patience} {}

    [[nodiscard]] deadline next_look() const { return next_; }

    /// True: it has been stopped for too long.
    bool look() {
        if (!next_.expired()) return false;
        next_ = deadline::after(patience_ / 4);
        const auto now = look_at(front_);
        if (!now || now->state != 'T') {
            stopped_since_.reset();
            return false;
        }
        if (!stopped_since_) stopped_since_ = clock::now();
        return clock::now() - *stopped_since_ >= patience_;
    }

    void forget() { stopped_since_.reset(); }

private:
    pid_t front_;
    std::chrono::milliseconds patience_;
    deadline next_ = deadline::passed();
    std::optional<clock::time_point> stopped_since_;
};

class keeper {
public:
    keeper(const run_request& request, const signal_setup& signals, const terminal& tty, channel& to_front, pid_t front)
        : request_{request},
          to_front_{to_front},
          front_{front},
          launcher_{request, signals, tty, getpgid(front), [&] { to_front.close(); }},
          job_{launcher_.pid()},
          seeker_{request},
          child_ended_{signal_descriptor(only(SIGCHLD))},
          loss_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {
        if (!loss_) throw std::system_error{errno, std::generic_category(), "cannot create an event descriptor"};
    }

    message run() {
        seeker_.start();
        while (phase_ != phase::done) {
            wait();
            hear_front();
            reap();
            if (seeking_) look_for_outcome();
            if (phase_ == phase::running) watch_lock();
            if (phase_ == phase::running) watch_job();
            if (phase_ == phase::holding && hold_until_.expired()) phase_ = phase::done;
        }
        give_back();
        return end_;
    }

private:
    enum class phase { waiting, suspended, running, holding, done };

    // --- what happens -------------------------------------------------------------------------------------------

    void wait() {
        std::array polled{pollfd{to_front_.fd(), POLLIN, 0}, pollfd{child_ended_.get(), POLLIN, 0},
                          pollfd{seeker_.fd(), POLLIN, 0}, pollfd{loss_.get(), POLLIN, 0}};
        if (front_gone_) polled[0].fd = -1;  // its end would be told again and again
        if (lost_) polled[3].fd = -1;
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(std::min<clock::duration>(next_timer().remaining(), 1h));
        ::poll(polled.data(), polled.size(), static_cast<int>(left.count()));
    }

    deadline next_timer() const {
        if (phase_ == phase::holding) return hold_until_;
        if (phase_ != phase::running) return deadline::never();
        auto next = job_.next_timer();
        if (watch_ && !job_.stopped() && !lost_) next = std::min(next, watch_->next_look());
        return next;
    }

    void hear_front() {
        auto state = channel::state::open;
        while (const auto m = to_front_.receive(state))
            if (m->what == message::kind::signal) on_signal(m->value);
        if (state == channel::state::closed && !std::exchange(front_gone_, true)) on_front_gone();
    }

    void on_front_gone() {
        switch (phase_) {
            case phase::waiting:
                seeker_.cancel();
                break;
            case phase::running:
                // Somebody was in a hurry; and nobody is left who could pass on that the job is to end.
                job_.kill_all();
                break;
            default:
                phase_ = phase::done;
                break;
        }
    }

    void on_signal(int number) {
        switch (phase_) {
            case phase::waiting:
                if (ends_a_wait(number)) {
                    interrupted_by_ = number;
                    seeker_.cancel();
                } else if (number == SIGTSTP) {
                    suspend_ = true;
                    seeker_.cancel();
                } else if (number == SIGCONT) {
                    suspend_ = false;
                }
                break;
            case phase::suspended:
                if (ends_a_wait(number)) {
                    end_by(number);
                } else if (number == SIGCONT) {
                    seek();
                }
                break;
            case phase::running:
                pass_to_job(number);
                break;
            case phase::holding:
                if (ends_a_wait(number)) phase_ = phase::done;
                if (number == SIGTSTP)
                    to_front_.send({.what = message::kind::not_waiting});  // nothing runs: it may stop
                break;
            case phase::done:
                break;
        }
    }

    void reap() {
        while (next_signal(child_ended_)) {
        }
        for (;;) {
            int status = 0;
            const auto pid = waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED);
            if (pid < 0 && errno == EINTR) continue;
            if (pid < 0) job_.on_childless();
            if (pid <= 0) return;
            if (phase_ == phase::running || !(WIFSTOPPED(status) || WIFCONTINUED(status))) on_child(pid, status);
        }
    }

    void on_child(pid_t pid, int status) {
        const bool was_stopped = job_.stopped();
        job_.on_child(pid, status);
        if (phase_ != phase::running || job_.stopped() == was_stopped) return;
        if (watch_) watch_->forget();
        if (job_.stopped()) {
            to_front_.send({.what = message::kind::job_stopped, .value = WSTOPSIG(status)});
        } else if (!std::exchange(continued_, false) && front_is_stopped()) {
            // Continued behind our back. The front belongs to it, and the shell should know.
            woken_ = true;
            kill(front_, SIGCONT);
        }
    }

    void pass_to_job(int number) {
        if (number == SIGCONT) {
            if (std::exchange(woken_, false)) return;  // our own, for a job that goes on already
            continued_ = job_.stopped();
        }
        // Not SIGHUP: it makes many programs read their configuration again.
        if (number == SIGINT || number == SIGTERM || number == SIGQUIT) asked_to_end_ = true;
        job_.signal_group(number);
    }

    // --- waiting ------------------------------------------------------------------------------------------------

    void seek() {
        phase_ = phase::waiting;
        suspend_ = false;
        seeking_ = true;
        seeker_.start();
    }

    void look_for_outcome() {
        pollfd ready{seeker_.fd(), POLLIN, 0};
        if (::poll(&ready, 1, 0) != 1) return;
        seeking_ = false;
        auto outcome = seeker_.take();
        if (outcome.held) held_.emplace(std::move(*outcome.held));
        if (interrupted_by_ || front_gone_) {
            end_by(interrupted_by_);
        } else if (suspend_ || (held_ && front_is_stopped())) {
            // Who has stopped does not start anything; and the lock would be of no use to anybody meanwhile.
            give_back();
            phase_ = phase::suspended;
            if (suspend_) to_front_.send({.what = message::kind::not_waiting});
        } else if (outcome.problem) {
            if (is_cancellation(outcome.problem)) return seek();  // stopped and continued before the wait had ended
            end_with(tell(outcome.problem));
        } else if (!held_) {
            tell(fmt::format("busy: \"{}\" is held{}", request_.name,
                             outcome.holders.empty() ? " by somebody else" : " by " + outcome.holders));
            end_with(exit_status::busy);
        } else {
            start_job();
        }
    }

    static bool is_cancellation(const std::exception_ptr& problem) {
        try {
            std::rethrow_exception(problem);
        } catch (const cancelled&) {
            return true;
        } catch (...) {
            return false;
        }
    }

    bool front_is_stopped() const {
        if (front_gone_) return false;
        const auto now = look_at(front_);
        return now && now->state == 'T';
    }

    // --- the job ------------------------------------------------------------------------------------------------

    void start_job() {
        on_loss_.emplace(held_->lost(), [this] {
            const std::uint64_t one = 1;
            [[maybe_unused]] const auto written = ::write(loss_.get(), &one, sizeof one);
        });
        hold_until_ = deadline::after(request_.hold_at_least);
        const auto& locks = *seeker_.locks();
        if (locks.traits().leases) watch_.emplace(front_, locks.settings().ttl);
        phase_ = phase::running;
        to_front_.send({.what = message::kind::job_started, .value = job_.group()});
        if (held_->lost().stop_requested()) return lose(why_lost(*held_));
        if (!job_.ended() && !launcher_.start(held_->token())) job_.kill_all();
    }

    // Asked at every wake-up: `lost()` looks at the clock, so after a pause this is the first thing that is noticed.
    void watch_lock() {
        if (lost_) return;
        if (held_->lost().stop_requested()) {
            lose(why_lost(*held_));
        } else if (watch_ && !job_.stopped() && !front_gone_ && watch_->look()) {
            lose(fmt::format("rowlock itself has been stopped for longer than the lock's time to live ({})",
                             short_duration(seeker_.locks()->settings().ttl)));
        }
    }

    void lose(const std::string& why) {
        lost_ = true;
        tell(fmt::format("lost the lock \"{}\": {}; ending the command", request_.name, why));
        job_.end(request_.grace);
    }

    void watch_job() {
        job_.on_timer();
        if (!job_.gone()) return;
        to_front_.send({.what = message::kind::job_gone});
        if (lost_) return end_with(exit_status::lost);
        const int status = job_.status();
        end_ = {.value = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
                .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0};
        // Nothing ran, so nothing needs protection from running again; or somebody wants all of this to end, and may
        // have said so when the job was just over.
        const bool unwanted = asked_to_end_ || ends_a_wait(end_.signal);
        phase_ = front_gone_ || unwanted || launcher_.failed() ? phase::done : phase::holding;
    }

    // --- the end ------------------------------------------------------------------------------------------------

    void end_with(int status) {
        end_ = {.value = status};
        phase_ = phase::done;
    }

    void end_by(int number) {
        end_ = {.value = 128 + number, .signal = number, .reraise = true};
        phase_ = phase::done;
    }

    void give_back() {
        on_loss_.reset();
        if (!held_) return;
        try {
            held_->release();
        } catch (const std::exception& e) {
            tell(fmt::format("the database could not be told that \"{}\" is free; it is when its lease runs out: {}",
                             request_.name, e.what()));
        }
        held_.reset();
    }

    const run_request& request_;
    channel& to_front_;
    const pid_t front_;
    launcher launcher_;  // before the first thread
    job job_;
    lock_seeker seeker_;
    unique_fd child_ended_;
    unique_fd loss_;
    std::optional<lock_handle> held_;
    std::optional<std::stop_callback<std::function<void()>>> on_loss_;
    std::optional<front_watch> watch_;
    phase phase_ = phase::waiting;
    bool seeking_ = true;
    bool suspend_ = false;
    int interrupted_by_ = 0;
    bool front_gone_ = false;
    bool lost_ = false;
    bool asked_to_end_ = false;
    bool continued_ = false;  ///< the job, by us; that it goes on is still to be heard
    bool woken_ = false;      ///< the front, by us; that it got the SIGCONT is still to be heard
    deadline hold_until_ = deadline::passed();
    message end_;
};

}  // namespace

void run_as_keeper(const run_request& request, const signal_setup& signals, const terminal& tty, channel to_front,
                   pid_t front) noexcept {
    // Everything that can be blocked is: only the front's death and its messages end this process, or SIGKILL.
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    setpgid(0, 0);
    prctl(PR_SET_NAME, "rowlock-keeper", 0, 0, 0);  // `killall rowlock` is meant for the front
    adopt_orphans();
    message end;
    try {
        end = keeper{request, signals, tty, to_front, front}.run();
    } catch (...) {
        end = {.value = tell_current_exception()};
    }
    std::fflush(nullptr);
    to_front.send_surely(end);
    _exit(0);
}

}  // namespace rowlock::cli
