#include "job.hpp"

#include <csignal>

#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "../report.hpp"
#include "process_tree.hpp"

namespace rowlock::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto worth_a_word = 2s;     // for how long others may outlive the command before that is told
constexpr auto between_kills = 10ms;  // new processes can appear while the others are being killed
constexpr int kills_until_told = 500;

}  // namespace

void job::on_child(pid_t pid, int status) {
    const bool leads = pid == leader_;
    if (WIFSTOPPED(status)) {
        if (leads || ended()) stopped_ = true;
    } else if (WIFCONTINUED(status)) {
        if (leads || ended()) stopped_ = false;
    } else {
        stopped_ = false;
        if (!leads) return;
        status_ = status;
        if (!ending_ && !killing_) next_ = deadline::after(worth_a_word);
    }
}

void job::signal_group(int number) const {
    // Until it is waited for, a dead leader keeps the group's number from being used again; afterwards only looking
    // at each process is safe.
    if (!ended()) {
        ::kill(-leader_, number);
        return;
    }
    for (const auto& p : descendants(getpid()))
        if (p.group == leader_) send_signal(p, number);
}

void job::signal_all(int number) const {
    // The group at once, so that no member sees another one die first; then those who have left it.
    if (!ended()) ::kill(-leader_, number);
    for (const auto& p : descendants(getpid()))
        if (ended() || p.group != leader_) send_signal(p, number);
}

void job::end(std::chrono::milliseconds grace) {
    if (ending_ || killing_) return;
    ending_ = true;
    next_ = deadline::after(grace);
    signal_all(SIGTERM);
    signal_all(SIGCONT);  // whoever is stopped could not hear it
    if (grace <= std::chrono::milliseconds::zero()) kill_all();
}

void job::kill_all() {
    killing_ = true;
    signal_all(SIGKILL);
    next_ = deadline::after(between_kills);
}

void job::on_timer() {
    if (gone_ || !next_.expired()) return;
    if (killing_ || ending_) {
        if (++kills_ == kills_until_told)
            tell(fmt::format("{} processes of the command cannot be killed; waiting for them",
                             descendants(getpid()).size()));
        kill_all();
        return;
    }
    next_ = deadline::never();
    tell(fmt::format(
        "the command has ended, but processes that it started have not ({}); the lock is held until they have",
        descendants(getpid()).size()));
}

}  // namespace rowlock::cli
