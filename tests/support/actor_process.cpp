#include "actor_process.hpp"

#include <array>
#include <cerrno>
#include <iomanip>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace rowlock::test {
namespace {

[[noreturn]] void fail(const char* what, int code = errno) {
    throw std::system_error{code, std::generic_category(), what};
}

struct pipe_ends {
    pipe_ends() {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe2");
        out = ends[0];
        in = ends[1];
    }
    int out = -1, in = -1;
};

}  // namespace

actor_process::actor_process(const std::vector<std::string>& wrapper) {
    const pipe_ends commands, answers;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, commands.out, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, answers.in, STDOUT_FILENO);

    auto words = wrapper;
    words.emplace_back(ROWLOCK_TEST_ACTOR);
    std::vector<char*> argv;
    for (auto& w : words) argv.push_back(w.data());
    argv.push_back(nullptr);
    const int why = posix_spawnp(&pid_, argv.front(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(commands.out);
    close(answers.in);
    to_ = commands.in;
    from_ = answers.out;
    if (why != 0) {
        reap();
        fail("posix_spawn", why);
    }
}

actor_process::actor_process(actor_process&& other) noexcept
    : pid_{std::exchange(other.pid_, -1)},
      to_{std::exchange(other.to_, -1)},
      from_{std::exchange(other.from_, -1)},
      unread_{std::move(other.unread_)} {}

actor_process::~actor_process() { reap(); }

void actor_process::reap() noexcept {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
    }
    for (int* fd : {&to_, &from_})
        if (*fd >= 0) close(std::exchange(*fd, -1));
}

void actor_process::tell(const std::string& command) {
    const auto line = command + '\n';
    // The reader may be dead: no SIGPIPE for the test program.
    static const auto ignored = signal(SIGPIPE, SIG_IGN);
    (void)ignored;
    if (write(to_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) fail("write to an actor");
}

std::string actor_process::answer(std::chrono::milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    for (;;) {
        if (const auto eol = unread_.find('\n'); eol != std::string::npos) {
            auto line = unread_.substr(0, eol);
            unread_.erase(0, eol + 1);
            return line;
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        pollfd p{from_, POLLIN, 0};
        if (left.count() <= 0 || poll(&p, 1, static_cast<int>(left.count())) == 0)
            throw std::runtime_error{"an actor did not answer within " + std::to_string(limit.count()) + " ms"};
        std::array<char, 4096> buffer{};
        const auto n = read(from_, buffer.data(), buffer.size());
        if (n == 0) throw std::runtime_error{"an actor is gone"};
        if (n > 0) unread_.append(buffer.data(), static_cast<std::size_t>(n));
    }
}

bool actor_process::is_silent() const {
    pollfd p{from_, POLLIN, 0};
    return unread_.empty() && poll(&p, 1, 0) == 0;
}

std::string actor_process::expect_ok(const std::string& command) {
    auto reply = ask(command);
    if (!reply.starts_with("ok")) throw std::runtime_error{"an actor answered \"" + reply + "\" to \"" + command + '"'};
    return reply;
}

void actor_process::open(const std::string& url, const std::string& more) {
    std::ostringstream command;
    command << "open " << std::quoted(url) << more;
    expect_ok(command.str());
}

void actor_process::kill() { reap(); }

void actor_process::pause() {
    if (::kill(pid_, SIGSTOP) != 0) fail("SIGSTOP");
    int status = 0;
    while (waitpid(pid_, &status, WUNTRACED) != pid_ || !WIFSTOPPED(status)) {
        if (errno != EINTR) fail("waitpid");
    }
}

void actor_process::resume() {
    if (::kill(pid_, SIGCONT) != 0) fail("SIGCONT");
}

int actor_process::finish() {
    tell("exit");
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    reap();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::uint64_t token_in(const std::string& answer) {
    if (!answer.starts_with("ok ")) throw std::runtime_error{"no token in the answer \"" + answer + '"'};
    return std::stoull(answer.substr(3));
}

}  // namespace rowlock::test
