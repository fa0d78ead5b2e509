#include "front.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <optional>
#include <system_error>
#include <vector>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "../exit_status.hpp"
#include "../report.hpp"
#include "keeper.hpp"
#include "message.hpp"
#include "process_tree.hpp"
#include "signals.hpp"
#include "terminal.hpp"

namespace rowlock::cli {
namespace {

// Children that this process had before it became rowlock (`job & exec rowlock run ...` in a shell) are not the job's.
std::vector<pid_t> inherited_children() {
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD) return {};
    return children(getpid());
}

class front {
public:
    explicit front(const run_request& request) : strangers_{inherited_children()} {
        sigset_t heard = signals_.forwarded();
        sigaddset(&heard, SIGCHLD);
        incoming_ = signal_descriptor(heard);
        adopt_orphans();
        std::fflush(nullptr);
        const auto self = getpid();
        auto [mine, theirs] = channel::create();
        keeper_ = fork();
        if (keeper_ < 0) throw std::system_error{errno, std::generic_category(), "cannot start a process"};
        if (keeper_ == 0) {
            mine.close();
            incoming_ = unique_fd{};
            run_as_keeper(request, signals_, terminal_, std::move(theirs), self);
        }
        setpgid(keeper_, keeper_);  // the keeper does it too; whoever is first
        to_keeper_.emplace(std::move(mine));
    }

    int run() {
        while (!closed_) {
            std::array polled{pollfd{incoming_.get(), POLLIN, 0}, pollfd{to_keeper_->fd(), POLLIN, 0}};
            if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) break;
            while (const int number = next_signal(incoming_)) on_signal(number);
            hear_keeper();
        }
        while (!keeper_ended_) reap(0);
        if (!end_) end_ = without_keeper();
        kill_leftovers();
        take_terminal_back();
        return finish(*end_);
    }

private:
    void on_signal(int number) {
        if (number == SIGCHLD) {
            reap(WNOHANG);
            return;
        }
        // `fg`: the shell has put our group into the foreground, but it is the job that is to read the terminal.
        if (number == SIGCONT && job_group_ && terminal_.foreground() == group_) terminal_.hand_to(*job_group_);
        pass_on(number);
    }

    void pass_on(int number) const { to_keeper_->send({.what = message::kind::signal, .value = number}); }

    void reap(int flags) {
        int status = 0;
        for (;;) {
            const auto pid = waitpid(-1, &status, flags | WUNTRACED);
            if (pid < 0 && errno == EINTR) continue;
            if (pid < 0) keeper_ended_ = true;  // ECHILD
            if (pid <= 0) return;
            if (pid != keeper_) continue;
            if (WIFSTOPPED(status)) {
                // While it does not run nobody renews the lock; whoever wants the job to pause stops that, or us.
                kill(keeper_, SIGCONT);
            } else {
                keeper_ended_ = true;
                keeper_status_ = status;
                return;
            }
        }
    }

    void hear_keeper() {
        auto state = channel::state::open;
        while (const auto m = to_keeper_->receive(state)) {
            using enum message::kind;
            switch (m->what) {
                case job_started:
                    job_group_ = m->value;
                    break;
                case job_stopped:
                    on_job_stopped(m->value);
                    break;
                case job_gone:
                    take_terminal_back();
                    break;
                case not_waiting:
                    on_wait_left();
                    break;
                case end:
                    end_ = *m;
                    break;
                case signal:
                    break;
            }
        }
        closed_ = state == channel::state::closed;
    }

    void on_wait_left() {
        if (!stop_with(SIGTSTP, false)) pass_on(SIGCONT);
    }

    void on_job_stopped(int number) {
        // Without a terminal there is no shell that could be told; who stopped the job continues it. So long the lock
        // is kept.
        if (!terminal_ || !job_group_) return;
        const auto foreground = terminal_.foreground();
        const bool wants_terminal = number == SIGTTIN || number == SIGTTOU;
        // Started with `&` and then brought to the foreground while it ran: the shell sent no SIGCONT for that.
        if (wants_terminal && foreground == group_ && terminal_.hand_to(*job_group_)) {
            pass_on(SIGCONT);
            return;
        }
        const bool had_terminal = foreground == *job_group_;
        if (had_terminal) terminal_.hand_to(group_);
        // SIGTSTP rather than SIGSTOP: the kernel drops it where no shell would ever continue us (an orphaned process
        // group), and then the job goes on, too, as it would have done without us.
        if (!stop_with(wants_terminal ? number : SIGTSTP, had_terminal) && had_terminal) {
            terminal_.hand_to(*job_group_);
            pass_on(SIGCONT);
        }
    }

    // Stops this process; `all` its group as well, as the terminal would have done with ^Z had the job been in it.
    // False: the kernel saw no sense in it. Who continues us does so by SIGCONT, which is waiting in `incoming_` then.
    static bool stop_with(int number, bool all) {
        if (all) kill(0, number);
        suffer(number);
        sigset_t pending;
        return sigpending(&pending) == 0 && sigismember(&pending, SIGCONT) == 1;
    }

    void take_terminal_back() {
        if (!job_group_ || terminal_.foreground() != *job_group_) return;
        job_had_terminal_ = true;
        terminal_.hand_to(group_);
    }

    int finish(const message& end) const {
        // ^C at the terminal went to the job's group alone. Had the job been in ours, a script around it would have got
        // it as well and have ended, too; and a shell ends its loop if it sees that we died of it.
        const bool from_keyboard = job_had_terminal_ && (end.signal == SIGINT || end.signal == SIGQUIT);
        if (from_keyboard) kill(0, end.signal);
        if (from_keyboard || end.reraise) suffer(end.signal);
        return end.value;
    }

    message without_keeper() const {
        const auto how = WIFSIGNALED(keeper_status_) ? fmt::format("was killed by signal {}", WTERMSIG(keeper_status_))
                                                     : fmt::format("ended with status {}", WEXITSTATUS(keeper_status_));
        if (job_group_)
            tell(fmt::format("its keeper process {}, and the lock is lost with it; the command is killed too", how));
        else
            tell(fmt::format("its keeper process {} while it waited for the lock; the command did not run", how));
        return {.value = job_group_ ? exit_status::lost : exit_status::system};
    }

    // What the keeper left behind was given to this process. There is something only if the keeper was killed.
    void kill_leftovers() const {
        while (waitpid(-1, nullptr, WNOHANG) >= 0) {
            const auto left = descendants(getpid(), strangers_);
            if (left.empty()) return;
            for (const auto& p : left) send_signal(p, SIGKILL);
            ::poll(nullptr, 0, 5);
        }
    }

    std::vector<pid_t> strangers_;
    signal_setup signals_;
    terminal terminal_;
    unique_fd incoming_;
    std::optional<channel> to_keeper_;
    pid_t keeper_ = -1;
    const pid_t group_ = getpgrp();
    bool keeper_ended_ = false;
    int keeper_status_ = 0;
    bool closed_ = false;
    std::optional<pid_t> job_group_;
    bool job_had_terminal_ = false;
    std::optional<message> end_;
};

}  // namespace

int run_in_front(const run_request& request) { return front{request}.run(); }

}  // namespace rowlock::cli
