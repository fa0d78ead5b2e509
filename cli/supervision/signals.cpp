#include "signals.hpp"

#include <array>
#include <cerrno>
#include <system_error>

#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace rowlock::cli {
namespace {

// Not among them: those by which the kernel tells a process about its own doing (SIGSEGV, SIGPIPE, SIGXCPU,
// SIGTTIN...), which say nothing to the job.
constexpr std::array passed_on{SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1,  SIGUSR2, SIGALRM,
                               SIGTERM, SIGCONT, SIGTSTP, SIGWINCH, SIGPWR};

bool is_ignored(int number) {
    struct sigaction now {};
    return sigaction(number, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace

signal_setup::signal_setup() {
    sigemptyset(&forwarded_);
    const auto pass_on = [&](int number) {
        // A blocked signal is kept even if it is ignored (signal(7)), and would reach the job by us.
        if (!is_ignored(number)) sigaddset(&forwarded_, number);
    };
    for (const int number : passed_on) pass_on(number);
    for (int number = SIGRTMIN; number <= SIGRTMAX; ++number) pass_on(number);

    sigset_t blocked = forwarded_;
    sigaddset(&blocked, SIGCHLD);
    sigaddset(&blocked, SIGPIPE);  // a reader of standard error that left must not end the job
    sigaddset(&blocked, SIGTTIN);
    sigaddset(&blocked, SIGTTOU);  // tcsetpgrp() from the background would stop us
    sigprocmask(SIG_BLOCK, &blocked, &inherited_mask_);

    // Ignored, ended children would vanish before they could be waited for.
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &standard, &inherited_child_);
}

void signal_setup::restore() const noexcept {
    sigaction(SIGCHLD, &inherited_child_, nullptr);
    sigprocmask(SIG_SETMASK, &inherited_mask_, nullptr);
}

unique_fd signal_descriptor(const sigset_t& set) {
    const int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) throw std::system_error{errno, std::generic_category(), "cannot create a signal descriptor"};
    return unique_fd{fd};
}

int next_signal(const unique_fd& descriptor) noexcept {
    signalfd_siginfo info{};
    const auto got = ::read(descriptor.get(), &info, sizeof info);
    return got == static_cast<ssize_t>(sizeof info) ? static_cast<int>(info.ssi_signo) : 0;
}

void suffer(int number) noexcept {
    const rlimit no_core{0, 0};
    if (number == SIGQUIT) setrlimit(RLIMIT_CORE, &no_core);  // the job's core is the one that somebody wants to see
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    struct sigaction before {};
    sigaction(number, &standard, &before);
    sigset_t only, mask;
    sigemptyset(&only);
    sigaddset(&only, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &only, &mask);  // delivered before this returns
    sigprocmask(SIG_SETMASK, &mask, nullptr);
    sigaction(number, &before, nullptr);
}

}  // namespace rowlock::cli
