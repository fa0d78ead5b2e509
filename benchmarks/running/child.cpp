#include "child.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <iostream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include <contenders/back_ends.hpp>

namespace bench {
namespace {

// Where the child finds what the parent gives it.
constexpr int orders_fd = 3, answers_fd = 4, page_fd = 5;

[[noreturn]] void fail(const char* what) { throw std::system_error{errno, std::generic_category(), what}; }

bool read_all(int fd, void* data, std::size_t size) {
    for (auto* at = static_cast<char*>(data); size > 0;) {
        const auto n = read(fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n, size -= static_cast<std::size_t>(n);
    }
    return true;
}

bool write_all(int fd, const void* data, std::size_t size) {
    for (const auto* at = static_cast<const char*>(data); size > 0;) {
        const auto n = write(fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        at += n, size -= static_cast<std::size_t>(n);
    }
    return true;
}

template <class Sequence>
bool write_sequence(int fd, const Sequence& s) {
    const std::uint64_t n = s.size();
    return write_all(fd, &n, sizeof n) && write_all(fd, s.data(), n * sizeof(typename Sequence::value_type));
}

template <class Sequence>
bool read_sequence(int fd, Sequence& s) {
    std::uint64_t n = 0;
    if (!read_all(fd, &n, sizeof n)) return false;
    s.resize(n);
    return read_all(fd, s.data(), n * sizeof(typename Sequence::value_type));
}

bool write_outcome(int fd, const outcome& o) {
    return write_sequence(fd, o.durations_ns) && write_sequence(fd, o.granted_at_ns) &&
           write_sequence(fd, o.hand_overs_ns) && write_all(fd, &o.finished_ns, sizeof o.finished_ns) &&
           write_sequence(fd, o.failure);
}

std::string to_text(const client_spec& s) {
    return nlohmann::json{
        {"url", s.url},       {"who", s.who},    {"what", s.what}, {"lock", s.lock}, {"contended", s.contended},
        {"ttl_ms", s.ttl_ms}, {"owner", s.owner}}
        .dump();
}

client_spec spec_in(const std::string& text) {
    const auto j = nlohmann::json::parse(text);
    return {.url = j.at("url"),
            .who = j.at("who"),
            .what = j.at("what"),
            .lock = j.at("lock"),
            .contended = j.at("contended"),
            .ttl_ms = j.at("ttl_ms"),
            .owner = j.at("owner")};
}

}  // namespace

child::child(const client_spec& s, const shared_page& p) {
    std::array<int, 2> orders{}, answers{};
    if (pipe2(orders.data(), O_CLOEXEC) != 0) fail("pipe");
    if (pipe2(answers.data(), O_CLOEXEC) != 0) fail("pipe");
    // Above those that the child will have: dup2 of a descriptor onto itself would leave it to be closed.
    const auto above = [](int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 16); };
    const std::array<int, 3> given{above(orders[0]), above(answers[1]), above(p.fd())};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, given[0], orders_fd);
    posix_spawn_file_actions_adddup2(&actions, given[1], answers_fd);
    posix_spawn_file_actions_adddup2(&actions, given[2], page_fd);
    std::string program = "rowlock-bench", command{child_command}, spec = to_text(s);
    const std::array<char*, 4> argv{program.data(), command.data(), spec.data(), nullptr};
    const int error = posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    for (const int fd : {orders[0], answers[1], given[0], given[1], given[2]}) close(fd);
    orders_ = orders[1];
    answers_ = answers[0];
    if (error != 0) throw std::system_error{error, std::generic_category(), "cannot start a client's process"};
    if (const auto first = finish(); !first.failure.empty()) throw std::runtime_error{first.failure};
}

child::~child() {
    close(orders_);
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    close(answers_);
}

void child::start(const job& j) const {
    if (!write_all(orders_, &j, sizeof j)) fail("a client's process is gone");
}

outcome child::finish() const {
    outcome o;
    if (!read_sequence(answers_, o.durations_ns) || !read_sequence(answers_, o.granted_at_ns) ||
        !read_sequence(answers_, o.hand_overs_ns) || !read_all(answers_, &o.finished_ns, sizeof o.finished_ns) ||
        !read_sequence(answers_, o.failure))
        throw std::runtime_error{"a client's process ended early"};
    return o;
}

void child::signal(int number) const {
    if (kill(pid_, number) != 0) fail("cannot signal a client's process");
}

int be_child(int argc, char** argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc != 3) return 2;
    std::unique_ptr<client> mine;
    outcome ready;
    try {
        mine = make_client(spec_in(argv[2]));
        if (!mine) ready.failure = "there is no such client";
    } catch (const std::exception& e) {
        ready.failure = e.what();
    }
    if (!write_outcome(answers_fd, ready) || !mine) return 1;
    const shared_page p{page_fd};
    for (job j; read_all(orders_fd, &j, sizeof j);)
        if (!write_outcome(answers_fd, execute(j, *mine, *p))) break;
    return 0;
}

}  // namespace bench
