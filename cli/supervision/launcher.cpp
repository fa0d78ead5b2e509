#include "launcher.hpp"

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <vector>

#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include "../exit_status.hpp"
#include "../report.hpp"

namespace rowlock::cli {
namespace {

struct go {
    bool has_token = false;
    std::uint64_t token = 0;
};

void set_environment(const run_request& request, const go& received) {
    setenv("ROWLOCK_NAME", request.name.c_str(), 1);
    setenv("ROWLOCK_OWNER", request.opt.owner.c_str(), 1);
    // Not that of a rowlock around us.
    if (received.has_token)
        setenv("ROWLOCK_TOKEN", std::to_string(received.token).c_str(), 1);
    else
        unsetenv("ROWLOCK_TOKEN");
}

[[noreturn]] void become_job(const run_request& request, const signal_setup& signals, const terminal& tty,
                             pid_t front_group, int to_parent) {
    std::vector<char*> arguments;
    for (const auto& a : request.job) arguments.push_back(const_cast<char*>(a.c_str()));
    arguments.push_back(nullptr);

    go received;
    if (::recv(to_parent, &received, sizeof received, 0) != static_cast<ssize_t>(sizeof received)) _exit(0);
    set_environment(request, received);
    // From here rather than from a parent: it must have happened before the command can read the terminal.
    if (tty.foreground() == front_group) tty.hand_to(getpid());
    signals.restore();
    ::execvp(arguments.front(), arguments.data());

    const int problem = errno;
    const char failed = 1;
    (void)::send(to_parent, &failed, sizeof failed, MSG_NOSIGNAL);
    tell(fmt::format("cannot run {}: {}", request.job.front(), std::strerror(problem)));
    _exit(problem == ENOENT || problem == ENOTDIR ? exit_status::not_found : exit_status::cannot_execute);
}

}  // namespace

launcher::launcher(const run_request& request, const signal_setup& signals, const terminal& tty, pid_t front_group,
                   const std::function<void()>& in_child) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        throw std::system_error{errno, std::generic_category(), "cannot create a socket pair"};
    unique_fd mine{ends[0]}, theirs{ends[1]};
    const auto parent = getpid();
    pid_ = fork();
    if (pid_ < 0) throw std::system_error{errno, std::generic_category(), "cannot start a process"};
    if (pid_ == 0) {
        setpgid(0, 0);
        // Survives the exec, except into a set-user-ID program; the front takes care of those.
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != parent) _exit(0);
        mine = unique_fd{};
        in_child();
        become_job(request, signals, tty, front_group, theirs.get());
    }
    setpgid(pid_, pid_);  // the child does it too; whoever is first
    to_child_ = std::move(mine);
}

bool launcher::start(std::optional<fencing_token> token) const noexcept {
    go told;
    if (token) told = {.has_token = true, .token = token->value()};
    return ::send(to_child_.get(), &told, sizeof told, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof told);
}

bool launcher::failed() const noexcept {
    char failed = 0;
    return ::recv(to_child_.get(), &failed, sizeof failed, MSG_DONTWAIT) == 1;
}

}  // namespace rowlock::cli
