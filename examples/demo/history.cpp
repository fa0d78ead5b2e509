#include "history.hpp"

#include <algorithm>
#include <cstdio>

namespace demo {
namespace {

using turns = std::vector<turn>;  // sorted by time of entering

std::string count(std::size_t n, const char* what) { return std::to_string(n) + " " + what + (n == 1 ? "" : "s"); }

verdict complete(const turns& all, const expectation& e) {
    std::size_t wanted = 0;
    for (const auto n : e.turns) wanted += n;
    for (std::size_t i = 0; i < e.turns.size(); ++i) {
        const auto worker = static_cast<int>(i) + 1;
        const auto had = static_cast<std::size_t>(
            std::count_if(all.begin(), all.end(), [&](const turn& t) { return t.worker == worker; }));
        if (had != e.turns[i])
            return {false, "worker " + std::to_string(worker) + " had " + count(had, "turn") + " instead of " +
                               std::to_string(e.turns[i])};
    }
    if (all.size() != wanted) return {false, "a turn of a worker that does not exist"};
    const auto runs_backward = [](const turn& t) { return t.waiting_since > t.entered || t.entered > t.left; };
    if (std::any_of(all.begin(), all.end(), runs_backward)) return {false, "a turn ended before it began"};
    if (all.empty()) return {false, "nothing happened"};
    return {true,
            "no turn is missing: " + count(wanted, "turn") + " of " + std::to_string(e.turns.size()) + " processes"};
}

verdict exclusive(const turns& all) {
    std::size_t overlaps = 0;
    for (auto a = all.begin(); a != all.end(); ++a)
        overlaps += static_cast<std::size_t>(
            std::count_if(a + 1, all.end(), [&](const turn& b) { return b.entered < a->left; }));
    return {overlaps == 0, count(all.size(), "turn") + ", " + count(overlaps, "overlap")};
}

verdict tokens_rise(const turns& all) {
    const auto without = std::count_if(all.begin(), all.end(), [](const turn& t) { return !t.token; });
    if (without > 0 || all.empty())
        return {false, count(static_cast<std::size_t>(without), "turn") + " without a fencing token"};
    const auto falls =
        std::adjacent_find(all.begin(), all.end(), [](const turn& a, const turn& b) { return *b.token <= *a.token; });
    if (falls != all.end())
        return {false, "token " + std::to_string(*std::next(falls)->token) + " entered after " +
                           std::to_string(*falls->token)};
    return {true, "tokens rise strictly in the order of entering: " + std::to_string(*all.front().token) + " to " +
                      std::to_string(*all.back().token)};
}

verdict dead_is_replaced(const turns& all, const expectation& e) {
    const auto is_killed = [](const turn& t) { return t.killed; };
    const auto victim = std::find_if(all.begin(), all.end(), is_killed);
    if (victim == all.end() || victim->worker != e.killed_worker ||
        std::count_if(all.begin(), all.end(), is_killed) != 1)
        return {false, "worker " + std::to_string(e.killed_worker) + " should have been killed, and nobody else"};
    const auto who = "worker " + std::to_string(victim->worker) + " was killed inside; ";
    if (std::any_of(all.begin(), all.end(),
                    [&](const turn& t) { return t.worker == victim->worker && t.entered > victim->entered; }))
        return {false, who + "it went on all the same"};
    const auto next = std::find_if(all.begin(), all.end(), [&](const turn& t) { return t.entered >= victim->left; });
    if (next == all.end()) return {false, who + "nobody came after it"};
    const auto delay = next->entered - victim->left;
    const auto text = who + "worker " + std::to_string(next->worker) + " entered " + in_milliseconds(delay) +
                      " later (bound " + std::to_string(e.successor_within / std::chrono::milliseconds{1}) +
                      " ms; lease " + std::to_string(e.time_to_live / std::chrono::seconds{1}) + " s)";
    return {delay < e.successor_within, text};
}

verdict no_update_is_lost(const turns& all, std::uint64_t counter) {
    const auto left =
        static_cast<std::uint64_t>(std::count_if(all.begin(), all.end(), [](const turn& t) { return !t.killed; }));
    return {counter == left && left > 0, "a counter in a plain file, read on entering, written on leaving: " +
                                             std::to_string(counter) + " of " + std::to_string(left)};
}

}  // namespace

std::vector<verdict> judge(std::span<const turn> history, std::uint64_t counter, const expectation& e) {
    turns all{history.begin(), history.end()};
    std::stable_sort(all.begin(), all.end(), [](const turn& a, const turn& b) { return a.entered < b.entered; });
    return {complete(all, e), exclusive(all), tokens_rise(all), dead_is_replaced(all, e),
            no_update_is_lost(all, counter)};
}

bool all_ok(std::span<const verdict> verdicts) {
    return !verdicts.empty() && std::all_of(verdicts.begin(), verdicts.end(), [](const verdict& v) { return v.ok; });
}

std::string in_milliseconds(nanoseconds t) {
    char text[32];
    const auto ms = std::chrono::duration<double, std::milli>{t}.count();
    std::snprintf(text, sizeof text, ms < 10 ? "%.2f ms" : "%.1f ms", ms);
    return text;
}

}  // namespace demo
