// Feeds the check of the demonstration good and bad histories: a check that cannot fail would prove nothing.

#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "history.hpp"

namespace {

using namespace std::chrono_literals;
using demo::turn;

constexpr std::size_t complete = 0, exclusive = 1, tokens = 2, replaced = 3, counter = 4;

int failures = 0;

void require(bool ok, const std::string& what) {
    if (ok) return;
    std::cerr << "FAILED: " << what << '\n';
    ++failures;
}

// Three workers, two turns each; worker 2 is killed in its first.
struct sample {
    std::vector<turn> history{
        {.worker = 1, .pid = 11, .token = 5, .waiting_since = 0ms, .entered = 1ms, .left = 10ms},
        {.worker = 2, .pid = 12, .token = 6, .waiting_since = 0ms, .entered = 11ms, .left = 20ms, .killed = true},
        {.worker = 3, .pid = 13, .token = 7, .waiting_since = 0ms, .entered = 21ms, .left = 30ms},
        {.worker = 1, .pid = 11, .token = 8, .waiting_since = 12ms, .entered = 31ms, .left = 40ms},
        {.worker = 3, .pid = 13, .token = 9, .waiting_since = 31ms, .entered = 41ms, .left = 50ms},
    };
    std::uint64_t counter = 4;
    demo::expectation expected{.turns = {2, 1, 2}, .killed_worker = 2};
};

// Exactly the verdicts `wrong` have to be negative.
void expect(const std::string& what, const std::vector<std::size_t>& wrong,
            const std::function<void(sample&)>& change) {
    sample s;
    change(s);
    const auto verdicts = demo::judge(s.history, s.counter, s.expected);
    require(verdicts.size() == 5, what + ": five verdicts");
    for (std::size_t i = 0; i < verdicts.size(); ++i) {
        bool ok = true;
        for (const auto w : wrong) ok = ok && w != i;
        require(verdicts[i].ok == ok, what + ": verdict " + std::to_string(i) + ": " + verdicts[i].text);
    }
    require(demo::all_ok(verdicts) == wrong.empty(), what + ": as a whole");
}

}  // namespace

int main() {
    expect("a good history", {}, [](sample&) {});
    expect("its order does not matter", {}, [](sample& s) { std::swap(s.history[0], s.history[4]); });
    expect("one enters in the same nanosecond in which another left", {},
           [](sample& s) { s.history[3].entered = s.history[2].left; });
    expect("an overlap of one nanosecond", {exclusive}, [](sample& s) { s.history[3].entered = 30ms - 1ns; });
    expect("an overlap with one that is not the next", {exclusive}, [](sample& s) { s.history[2].left = 41ms + 1ns; });
    expect("an overlap with the killed one", {exclusive, replaced}, [](sample& s) {
        s.history[2].entered = 20ms - 1ns;
        s.history[3].entered = 71ms;  // who comes after the kill comes late
        s.history[3].left = 72ms;
        s.history[4].entered = 73ms;
        s.history[4].left = 74ms;
    });
    expect("a token twice", {tokens}, [](sample& s) { s.history[3].token = 7; });
    expect("a token that goes back", {tokens}, [](sample& s) { s.history[4].token = 1; });
    expect("no token", {tokens}, [](sample& s) { s.history[2].token.reset(); });
    expect("a missing turn", {complete, counter}, [](sample& s) { s.history.pop_back(); });
    expect("a turn too many", {complete, counter}, [](sample& s) {
        s.history.push_back(
            {.worker = 1, .pid = 11, .token = 10, .waiting_since = 60ms, .entered = 60ms, .left = 61ms});
    });
    expect("a stranger", {complete}, [](sample& s) { s.history[4].worker = 4; });
    expect("a turn that ends before it begins", {complete}, [](sample& s) { s.history[4].left = 40ms + 1ns; });
    expect("nobody was killed", {replaced, counter}, [](sample& s) { s.history[1].killed = false; });
    expect("another one was killed", {replaced},
           [](sample& s) { std::swap(s.history[1].killed, s.history[2].killed); });
    expect("two were killed", {replaced, counter}, [](sample& s) { s.history[4].killed = true; });
    expect("the killed one lives on", {complete, replaced}, [](sample& s) { s.history[4].worker = 2; });
    expect("a late successor", {replaced}, [](sample& s) {
        for (auto i : {2U, 3U, 4U}) {
            s.history[i].entered += 49ms;  // 50 ms after the kill
            s.history[i].left += 49ms;
        }
    });
    expect("a successor just in time", {}, [](sample& s) {
        for (auto i : {2U, 3U, 4U}) {
            s.history[i].entered += 49ms - 1ns;
            s.history[i].left += 49ms;
        }
    });
    expect("no successor", {complete, replaced, counter}, [](sample& s) { s.history.resize(2); });
    expect("a lost update", {counter}, [](sample& s) { s.counter = 3; });
    expect("an empty history", {complete, tokens, replaced, counter}, [](sample& s) {
        s.history.clear();
        s.counter = 0;
    });
    expect("an empty history that is expected", {complete, tokens, replaced, counter}, [](sample& s) {
        s.history.clear();
        s.counter = 0;
        s.expected.turns.clear();
    });
    if (failures == 0) std::cout << "all histories were judged right\n";
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
