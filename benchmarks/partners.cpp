#include "partners.hpp"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <iostream>
#include <stdexcept>
#include <system_error>

#include <rowlock/sqlite.hpp>

namespace bench {

constexpr std::size_t most_times = 10'000;

struct shared_page {
    std::array<std::atomic<bool>, 2> waits;
    std::array<std::atomic<bool>, 2> finished;
    std::atomic<std::int64_t> released_at_ns;
    std::atomic<std::uint32_t> turn;
    // What the child measured.
    std::array<nanoseconds, most_times> childs;
    std::array<nanoseconds, most_times> childs_releases;
};

namespace {

using namespace std::chrono_literals;

constexpr std::size_t parent = 0, child = 1;
constexpr auto until_asleep = 300us;  // several times what it takes to queue and go to sleep

enum command_kind : int { lock_command, futex_command };
struct command {
    int what;
    std::size_t times;
};

[[noreturn]] void fail(const char* what) { throw std::system_error{errno, std::generic_category(), what}; }

void spin(nanoseconds t) {
    for (const auto until = now() + t; now() < until;) {
    }
}

// Holds until the other one sleeps.
void hold(shared_page& p, std::size_t other) {
    while (!p.waits[other] && !p.finished[other]) {
    }
    if (!p.finished[other]) spin(until_asleep);
}

void exchange_lock(shared_page& p, std::size_t me, rowlock::mutex& m, std::size_t times, nanoseconds* result,
                   nanoseconds* release_calls) {
    for (std::size_t i = 0; i < times; ++i) {
        p.waits[me] = true;
        auto held = m.acquire();
        const auto granted = now();
        p.waits[me] = false;
        result[i] = granted - nanoseconds{p.released_at_ns};
        if (i + 1 == times) p.finished[me] = true;
        hold(p, 1 - me);
        const auto released = now();
        p.released_at_ns = released.count();
        held.release();
        release_calls[i] = now() - released;
    }
}

void exchange_turn(shared_page& p, std::size_t me, std::size_t times, nanoseconds* result) {
    const auto mine = static_cast<std::uint32_t>(me);
    for (std::size_t i = 0; i < times; ++i) {
        p.waits[me] = true;
        while (p.turn != mine) syscall(SYS_futex, &p.turn, FUTEX_WAIT, 1 - mine, nullptr, nullptr, 0);
        const auto woken = now();
        p.waits[me] = false;
        result[i] = woken - nanoseconds{p.released_at_ns};
        if (i + 1 == times) p.finished[me] = true;
        hold(p, 1 - me);
        p.released_at_ns = now().count();
        p.turn = 1 - mine;
        syscall(SYS_futex, &p.turn, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    }
}

rowlock::mutex open_lock(const std::filesystem::path& database) {
    return {rowlock::sqlite::open(database), "hand-over"};
}

}  // namespace

partners::partners(const std::filesystem::path& database) {
    void* memory = mmap(nullptr, sizeof(shared_page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    page_ = new (memory) shared_page{};
    int commands[2], done[2];
    if (pipe(commands) != 0 || pipe(done) != 0) fail("pipe");
    child_ = fork();
    if (child_ < 0) fail("fork");
    commands_ = commands[child_ == 0 ? 0 : 1];
    close(commands[child_ == 0 ? 1 : 0]);
    done_ = done[child_ == 0 ? 1 : 0];
    close(done[child_ == 0 ? 0 : 1]);
    if (child_ == 0) in_child(database);
    wait_for_child();
    mutex_.emplace(open_lock(database));
}

partners::~partners() {
    close(commands_);
    waitpid(child_, nullptr, 0);
    close(done_);
    munmap(page_, sizeof(shared_page));
}

// Does what it is told until the parent closes the pipe.
void partners::in_child(const std::filesystem::path& database) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    try {
        auto m = open_lock(database);
        if (write(done_, "", 1) != 1) _exit(1);
        for (command c{}; read(commands_, &c, sizeof c) == sizeof c;) {
            if (c.what == lock_command)
                exchange_lock(*page_, child, m, c.times, page_->childs.data(), page_->childs_releases.data());
            else
                exchange_turn(*page_, child, c.times, page_->childs.data());
            if (write(done_, "", 1) != 1) break;
        }
        _exit(0);
    } catch (const std::exception& e) {
        std::cerr << "the other process: " << e.what() << '\n';
        _exit(1);
    }
}

void partners::order(int what, std::size_t times) {
    if (times > most_times) throw std::invalid_argument{"too many at once"};
    for (const auto who : {parent, child}) page_->waits[who] = page_->finished[who] = false;
    const command c{what, times};
    if (write(commands_, &c, sizeof c) != sizeof c) fail("cannot reach the other process");
}

void partners::wait_for_child() const {
    char byte = 0;
    if (read(done_, &byte, 1) != 1) throw std::runtime_error{"the other process ended early"};
}

void partners::hand_over(std::size_t times, samples& result, samples& release_calls) {
    std::vector<nanoseconds> mine(times), my_releases(times);
    {
        auto held = mutex_->acquire();  // the child comes first
        order(lock_command, times);
        hold(*page_, child);
        page_->released_at_ns = now().count();
    }
    exchange_lock(*page_, parent, *mutex_, times, mine.data(), my_releases.data());
    wait_for_child();
    result.add(mine);
    result.add({page_->childs.data(), times});
    // Not the last ones: nobody waited any more.
    release_calls.add({my_releases.data(), times - 1});
    release_calls.add({page_->childs_releases.data(), times - 1});
}

void partners::wake_up(std::size_t times, samples& result) {
    std::vector<nanoseconds> mine(times);
    page_->turn = parent;
    order(futex_command, times);
    hold(*page_, child);
    page_->released_at_ns = now().count();
    page_->turn = child;
    syscall(SYS_futex, &page_->turn, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    exchange_turn(*page_, parent, times, mine.data());
    wait_for_child();
    result.add(mine);
    result.add({page_->childs.data(), times});
}

}  // namespace bench
