// How often rowlock-bench measures its rows, and in which order; with a clock that goes only when a row is measured.

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <suites/passes.hpp>

namespace {

using namespace bench;
using namespace std::chrono_literals;

std::chrono::nanoseconds the_time{};
std::string measured;

// Is sure after so many passes; 0: never.
struct row {
    char name;
    std::size_t sure_after;
    bool with_baseline = true;
    std::size_t done = 0;

    void pass() {
        ++done;
        the_time += 1s;
        measured += name;
    }
    [[nodiscard]] bool paired() const { return with_baseline && done > 0; }
    [[nodiscard]] bool sure() const { return sure_after > 0 && done >= sure_after; }
};

std::string order_of(std::vector<row> rows, const pass_plan& plan) {
    std::vector<row*> order;
    for (auto& r : rows) order.push_back(&r);
    the_time = 5s;  // clocks do not begin at 0
    measured.clear();
    run_passes(
        order, plan, [] { return the_time; },
        [](const row&, double over) {
            BOOST_TEST(over >= 0);
            BOOST_TEST(over <= 1);
        });
    return measured;
}

}  // namespace

BOOST_AUTO_TEST_CASE(rows_are_measured_in_turn) {
    BOOST_TEST(order_of({{'a', 1}, {'b', 1}, {'c', 1}}, {.least = 3, .time = 100s}) == "abcabcabc");
}

BOOST_AUTO_TEST_CASE(those_that_are_not_sure_are_measured_again_until_they_are) {
    BOOST_TEST(order_of({{'a', 2}, {'b', 4}, {'c', 3}}, {.least = 2, .time = 100s}) == "abcabcbcb");
}

BOOST_AUTO_TEST_CASE(no_pass_is_begun_after_the_time_but_each_row_has_its_least) {
    BOOST_TEST(order_of({{'a', 0}, {'b', 0}}, {.least = 2, .time = 7s}) == "abababa");
    BOOST_TEST(order_of({{'a', 0}, {'b', 0}}, {.least = 3, .time = 1s}) == "ababab");
}

BOOST_AUTO_TEST_CASE(no_row_has_more_passes_than_the_most) {
    BOOST_TEST(order_of({{'a', 0}, {'b', 0}}, {.least = 1, .most = 3, .time = 100s}) == "ababab");
}

BOOST_AUTO_TEST_CASE(what_has_no_baseline_has_no_ratio_to_be_sure_of) {
    BOOST_TEST(order_of({{'a', 4}, {'b', 0, false}}, {.least = 3, .least_alone = 2, .time = 100s}) == "ababaa");
    BOOST_TEST(order_of({{'b', 0, false}}, {.least = 1, .least_alone = 2, .time = 100s}) == "bb");
}

BOOST_AUTO_TEST_CASE(turns_go_to_and_fro) {
    std::string turns;
    take_turns(3, 3, [&](std::size_t i) { turns += static_cast<char>('A' + i); });
    BOOST_TEST(turns == "ABCCBAABC");
}
