#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <vector>

#include <rowlock/provider.hpp>

#include "history.hpp"
#include "process.hpp"
#include "report.hpp"

namespace demo {

struct plan {
    int workers = 4;
    int turns = 6;
    std::uint32_t seed = 0;
    bool with_lock = true;

    [[nodiscard]] int victim() const { return workers - 1; }
    [[nodiscard]] int victims_last_turn() const { return (turns + 1) / 2; }
    [[nodiscard]] expectation expected() const;
};

/// Runs the processes of a plan on a new database in `directory` and writes down what they did.
///
/// Whoever is inside for the first time, and the victim in its last turn, stays there until each of the others is
/// inside too, was inside since, or stands in the queue. So without the lock there is an overlap at every run, and with
/// it the victim dies while the others wait, however slow the machine is.
class contest {
public:
    contest(const plan& p, const std::filesystem::path& directory);

    /// @param on_progress called often
    /// @throws std::exception a process failed, or it took two minutes
    void run(const std::function<void()>& on_progress);

    /// So far; a turn that goes on, and a wait that goes on, last until now.
    [[nodiscard]] std::vector<turn> history() const;
    [[nodiscard]] nanoseconds started() const { return started_; }
    [[nodiscard]] std::uint64_t counter() const;

private:
    struct seat {
        process runs;
        descriptor control;
        bool is_ready = false;
        bool is_inside = false;
        bool at_gate = false;
        bool is_done = false;
        bool was_killed = false;
        int turns = 0;
        std::optional<turn> current{};  ///< `entered` is 0 while it waits
        nanoseconds last_entered{};
    };

    void hear(const report& r);
    void open_gates();
    void kill(seat& victim);
    [[nodiscard]] bool is_victim(const seat& s) const;
    [[nodiscard]] bool may_pass(const seat& s, const std::set<int>& queue) const;
    [[nodiscard]] std::set<int> queue() const;
    [[nodiscard]] bool is_over() const;

    const plan plan_;
    const std::filesystem::path directory_;
    nanoseconds started_{};
    descriptor reports_;
    std::vector<seat> seats_;
    std::vector<turn> finished_;
    std::optional<rowlock::provider> locks_;
};

}  // namespace demo
