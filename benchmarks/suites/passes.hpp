#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

namespace bench {

/// How often the rows of a suite are measured.
struct pass_plan {
    std::size_t least = 6;            ///< passes of a row that has a baseline; six are the fewest for a range
    std::size_t least_alone = 2;      ///< of one that has none: there is no ratio to be sure of
    std::size_t most = 60;            ///< passes of one row
    std::chrono::nanoseconds time{};  ///< after this no pass is begun, except those that each row has at least
    [[nodiscard]] std::size_t least_of(bool paired) const { return paired ? least : least_alone; }
};

/// Measures all rows in turn, several times, so that each of them has its share of what the machine does meanwhile;
/// then those again that are not sure yet, until all are, or the time is over. What a row's ratio is decides nothing
/// here, only how well it is known; so to measure again favors no result.
///
/// @param order rows with `pass()`, `paired()`, `sure()`, both known after a pass
/// @param clock tells the time
/// @param before is called with the row and how much of the time is over, from 0 to 1
template <class Row, class Clock, class Before>
void run_passes(const std::vector<Row*>& order, const pass_plan& plan, Clock clock, Before before) {
    const std::chrono::nanoseconds began = clock();
    std::vector<std::size_t> done(order.size());
    const auto run = [&](std::size_t i) {
        const auto over = std::chrono::duration<double>{clock() - began} / std::chrono::duration<double>{plan.time};
        before(*order[i], over < 1 ? over : 1.0);
        order[i]->pass();
        ++done[i];
    };
    for (std::size_t pass = 0; pass < plan.least || pass < plan.least_alone; ++pass)
        for (std::size_t i = 0; i < order.size(); ++i)
            if (pass == 0 || pass < plan.least_of(order[i]->paired())) run(i);
    for (bool again = true; again;) {
        again = false;
        for (std::size_t i = 0; i < order.size(); ++i) {
            if (!order[i]->paired() || order[i]->sure() || done[i] >= plan.most) continue;
            if (clock() - began >= plan.time) return;
            run(i);
            again = true;
        }
    }
}

/// `count` contenders, in rounds that go to and fro (A B B A), so that each is as often before another as after it.
template <class Turn>
void take_turns(std::size_t count, std::size_t rounds, Turn turn) {
    for (std::size_t round = 0; round < rounds; ++round)
        for (std::size_t i = 0; i < count; ++i) turn(round % 2 == 0 ? i : count - 1 - i);
}

}  // namespace bench
