#include "worker.hpp"

#include <chrono>
#include <exception>
#include <fstream>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <sys/prctl.h>
#include <unistd.h>
#include <csignal>

#include <rowlock/rowlock.hpp>
#include <rowlock/sqlite.hpp>

#include "report.hpp"

namespace demo {
namespace {

using std::chrono::milliseconds;

std::int64_t now_ns() { return rowlock::boot_clock::now().time_since_epoch().count(); }

void tell(report r) {
    if (write(STDOUT_FILENO, &r, sizeof r) != sizeof r) throw std::runtime_error{"cannot report"};
}

void wait_for_go() {
    char go = 0;
    if (read(STDIN_FILENO, &go, 1) != 1) throw std::runtime_error{"nobody said to go on"};
}

// A number in a plain file, with no protection but the lock.
class counter {
public:
    explicit counter(std::filesystem::path file) : file_{std::move(file)} {}
    [[nodiscard]] std::uint64_t read() const {
        std::uint64_t value = 0;
        if (!(std::ifstream{file_} >> value)) throw std::runtime_error{"cannot read the counter"};
        return value;
    }
    void write(std::uint64_t value) const {  // not truncated: whoever reads at the wrong moment sees some number
        if (!(std::fstream{file_, std::ios::in | std::ios::out} << value << std::flush))
            throw std::runtime_error{"cannot write the counter"};
    }

private:
    std::filesystem::path file_;
};

class worker {
public:
    explicit worker(const assignment& a) : a_{a}, counter_{a.directory / counter_file}, random_{a.seed} {
        if (a.with_lock)
            mutex_.emplace(
                rowlock::sqlite::open(a.directory / database_file, {.owner = "worker " + std::to_string(a.worker)}),
                lock_name);
    }

    void run() {
        say(report::kind::ready);
        wait_for_go();
        for (int i = 1; i <= a_.turns; ++i) {
            if (i > 1) sleep(milliseconds{1}, milliseconds{25});
            take_turn(i == 1 || i == a_.gated_turn);
        }
        say(report::kind::done);
    }

private:
    void take_turn(bool gated) {
        say(report::kind::waits);
        std::optional<rowlock::lock_handle> held;
        if (mutex_) held = mutex_->acquire();

        const auto token = held ? held->token() : std::nullopt;
        tell({.worker = a_.worker,
              .what = report::kind::inside,
              .when_ns = now_ns(),
              .token = token ? token->value() : 0});
        const auto before = counter_.read();
        if (gated) wait_for_go();
        sleep(milliseconds{50}, milliseconds{160});
        counter_.write(before + 1);
        say(report::kind::left);

        if (held) held->release();
    }

    void say(report::kind what) const { tell({.worker = a_.worker, .what = what, .when_ns = now_ns()}); }

    void sleep(milliseconds shortest, milliseconds longest) {
        std::uniform_int_distribution<milliseconds::rep> pick{shortest.count(), longest.count()};
        std::this_thread::sleep_for(milliseconds{pick(random_)});
    }

    const assignment& a_;
    counter counter_;
    std::minstd_rand random_;
    std::optional<rowlock::mutex> mutex_;
};

}  // namespace

int work(const assignment& a) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing is left behind if the parent is killed
    try {
        worker{a}.run();
        return 0;
    } catch (const std::exception& e) {
        report r{.worker = a.worker, .what = report::kind::failed, .when_ns = now_ns()};
        std::string_view{e.what()}.copy(r.text.data(), r.text.size() - 1);
        return write(STDOUT_FILENO, &r, sizeof r) == sizeof r ? 1 : 2;
    }
}

}  // namespace demo
