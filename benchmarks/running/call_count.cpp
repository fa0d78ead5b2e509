#include "call_count.hpp"

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <exception>
#include <stdexcept>

namespace bench {
namespace {

[[noreturn]] void in_child(const std::function<std::function<void()>()>& prepare, int cycles) {
    try {
        const auto cycle = prepare();
        for (int i = 0; i < 100; ++i) cycle();
        if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(3);
        // Two stops of the same kind mark the beginning and the end. Only this thread is traced.
        syscall(SYS_tgkill, getpid(), gettid(), SIGSTOP);
        for (int i = 0; i < cycles; ++i) cycle();
        syscall(SYS_tgkill, getpid(), gettid(), SIGSTOP);
    } catch (const std::exception&) {
        _exit(1);
    }
    _exit(0);
}

}  // namespace

double system_calls_of(const std::function<std::function<void()>()>& prepare, int cycles) {
    const auto child = fork();
    if (child < 0) throw std::runtime_error{"cannot fork"};
    if (child == 0) in_child(prepare, cycles);
    const auto give_up = [&](const char* why) {
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        throw std::runtime_error{why};
    };
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSTOPPED(status)) throw std::runtime_error{"system calls cannot be traced here"};
    if (ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0)
        give_up("system calls cannot be traced here");
    std::int64_t stops = 0;
    for (;;) {
        if (ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) != 0) give_up("the traced process is gone");
        waitpid(child, &status, 0);
        if (!WIFSTOPPED(status)) throw std::runtime_error{"the traced process ended early"};
        if (WSTOPSIG(status) == SIGSTOP) break;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) ++stops;
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    // Each call stops twice, at its entry and its exit; the last tgkill has stopped at its entry.
    const auto calls = stops / 2;
    return static_cast<double>(calls) / cycles;
}

}  // namespace bench
