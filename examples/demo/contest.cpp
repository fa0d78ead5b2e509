#include "contest.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>

#include <poll.h>

#include <rowlock/boot_clock.hpp>
#include <rowlock/sqlite.hpp>

#include "worker.hpp"

namespace demo {
namespace {

using namespace std::chrono_literals;

constexpr auto long_enough_to_be_seen = 100ms;  // in the picture

nanoseconds now() { return rowlock::boot_clock::now().time_since_epoch(); }

void let_go(const descriptor& control) {
    if (write(control.get(), "", 1) != 1)
        throw std::system_error{errno, std::generic_category(), "cannot reach a worker"};
}

}  // namespace

expectation plan::expected() const {
    expectation e{.turns = std::vector<std::size_t>(static_cast<std::size_t>(workers), static_cast<std::size_t>(turns)),
                  .killed_worker = victim()};
    e.turns[static_cast<std::size_t>(victim()) - 1] = static_cast<std::size_t>(victims_last_turn());
    return e;
}

contest::contest(const plan& p, const std::filesystem::path& directory) : plan_{p}, directory_{directory} {
    const auto database = directory / database_file;
    rowlock::sqlite::migrate(database);
    std::ofstream{directory / counter_file} << 0 << '\n';

    auto [reports, workers_end] = make_pipe();
    reports_ = std::move(reports);
    std::seed_seq seeds{p.seed};
    std::vector<std::uint32_t> seed(static_cast<std::size_t>(p.workers));
    seeds.generate(seed.begin(), seed.end());
    for (int w = 1; w <= p.workers; ++w) {
        auto [workers_control, control] = make_pipe();
        const bool dies = w == p.victim();
        const std::vector<std::string> arguments{
            "rowlock-demo",
            "--worker",
            directory.string(),
            std::to_string(w),
            std::to_string(dies ? p.victims_last_turn() : p.turns),
            std::to_string(dies ? p.victims_last_turn() : 0),
            std::to_string(seed[static_cast<std::size_t>(w) - 1]),
            p.with_lock ? "locked" : "unlocked",
        };
        seats_.push_back({.runs = process{arguments, workers_control, workers_end}, .control = std::move(control)});
    }
    locks_ = rowlock::sqlite::open(database);
}

void contest::run(const std::function<void()>& on_progress) {
    const auto give_up_at = now() + 120s;
    while (!is_over()) {
        pollfd p{.fd = reports_.get(), .events = POLLIN, .revents = 0};
        if (poll(&p, 1, 5) > 0) {
            report r;
            const auto size = read(reports_.get(), &r, sizeof r);
            if (size == static_cast<ssize_t>(sizeof r)) hear(r);
        }
        for (auto& s : seats_)
            if (auto why = s.runs.failure(); !why.empty() && !s.was_killed)
                throw std::runtime_error{"process " + std::to_string(s.runs.id()) + " ended early: " + why};
        open_gates();
        on_progress();
        if (now() > give_up_at) throw std::runtime_error{"it takes too long: two minutes are over"};
    }
}

bool contest::is_over() const {
    return std::all_of(seats_.begin(), seats_.end(), [](const seat& s) { return s.is_done; });
}

void contest::hear(const report& r) {
    auto& s = seats_.at(static_cast<std::size_t>(r.worker) - 1);
    const nanoseconds when{r.when_ns};
    switch (r.what) {
        case report::kind::ready:
            s.is_ready = true;
            if (!std::all_of(seats_.begin(), seats_.end(), [](const seat& each) { return each.is_ready; })) break;
            started_ = now();
            for (const auto& each : seats_) let_go(each.control);
            break;
        case report::kind::waits:
            s.current = turn{.worker = r.worker, .pid = s.runs.id(), .waiting_since = when};
            break;
        case report::kind::inside:
            s.current->entered = s.last_entered = when;
            if (r.token != 0) s.current->token = r.token;
            s.is_inside = true;
            ++s.turns;
            s.at_gate = s.turns == 1 || is_victim(s);
            break;
        case report::kind::left:
            s.current->left = when;
            finished_.push_back(*s.current);
            s.current.reset();
            s.is_inside = false;
            break;
        case report::kind::done:
            s.is_done = true;
            break;
        case report::kind::failed:
            throw std::runtime_error{"worker " + std::to_string(r.worker) + ": " + r.text.data()};
    }
}

void contest::open_gates() {
    const auto in_queue =
        std::any_of(seats_.begin(), seats_.end(), [](const seat& s) { return s.at_gate; }) ? queue() : std::set<int>{};
    for (auto& s : seats_) {
        if (!s.at_gate || !may_pass(s, in_queue)) continue;
        if (is_victim(s) && now() < s.last_entered + long_enough_to_be_seen) continue;
        s.at_gate = false;
        if (is_victim(s))
            kill(s);
        else
            let_go(s.control);
    }
}

bool contest::is_victim(const seat& s) const {
    return s.current && s.current->worker == plan_.victim() && s.turns == plan_.victims_last_turn();
}

void contest::kill(seat& victim) {
    // Read before the signal is sent: whoever enters is later for sure.
    victim.current->left = now();
    victim.was_killed = true;
    victim.runs.kill();
    victim.current->killed = true;
    finished_.push_back(*victim.current);
    victim.current.reset();
    victim.is_inside = false;
    victim.is_done = true;
}

bool contest::may_pass(const seat& s, const std::set<int>& in_queue) const {
    for (std::size_t i = 0; i < seats_.size(); ++i) {
        const auto& other = seats_[i];
        if (&other == &s || other.is_done || other.is_inside || other.last_entered > s.last_entered) continue;
        if (!in_queue.contains(static_cast<int>(i) + 1)) return false;
    }
    return true;
}

// Each worker opened its locks under the name "worker N".
std::set<int> contest::queue() const {
    std::set<int> workers;
    for (const auto& lock : locks_->status(lock_name))
        for (const auto& w : lock.waiters) workers.insert(std::stoi(w.owner.substr(w.owner.rfind(' '))));
    return workers;
}

std::vector<turn> contest::history() const {
    auto all = finished_;
    const auto until = now();
    for (const auto& s : seats_) {
        if (!s.current) continue;
        all.push_back(*s.current);
        if (!s.is_inside) all.back().entered = until;
        all.back().left = until;
    }
    return all;
}

std::uint64_t contest::counter() const {
    std::uint64_t value = 0;
    std::ifstream{directory_ / counter_file} >> value;
    return value;
}

}  // namespace demo
