// Several names at once: all or none, and never a deadlock.
#include <boost/test/unit_test.hpp>

#include <thread>

#include <rowlock/error.hpp>

#include <support/actor_process.hpp>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

void all_of_them(context& c) {
    auto locks = c.open();
    auto all = locks.try_acquire_all({"c", "a", "b"});
    BOOST_REQUIRE(all.has_value());
    BOOST_REQUIRE(all->size() == 3U);
    BOOST_TEST(all->at(0).name() == "a");
    BOOST_TEST(all->at(2).name() == "c");
    for (const auto* name : {"a", "b", "c"}) BOOST_TEST(!locks.try_acquire(name));
    all.reset();
    for (const auto* name : {"a", "b", "c"}) c.check_free(name);
}

void none_of_them(context& c) {
    auto locks = c.open();
    const auto held = locks.acquire("b");
    BOOST_TEST(!locks.try_acquire_all({"a", "b", "c"}));
    BOOST_TEST(!locks.try_acquire_all({"a", "b", "c"}, 5ms));
    c.check_free("a");
    c.check_free("c");
}

void a_cancelled_wait_leaves_none(context& c) {
    auto locks = c.open();
    const auto held = locks.acquire("b");
    std::stop_source stop;
    std::jthread stopper{[&] {
        (void)c.waiting(locks, 1, "b");
        stop.request_stop();
    }};
    const std::vector<std::string> names{"a", "b", "c"};
    BOOST_CHECK_THROW((void)locks.try_acquire_all(names, patience, stop.get_token()), cancelled);
    c.check_free("a");
}

void duplicates_count_once(context& c) {
    auto locks = c.open();
    const auto all = locks.try_acquire_all({"a", "b", "a", "a"});
    BOOST_REQUIRE(all.has_value());
    BOOST_TEST(all->size() == 2U);
}

void nothing_is_always_free(context& c) {
    auto locks = c.open();
    const auto none = locks.try_acquire_all(std::vector<std::string>{});
    BOOST_REQUIRE(none.has_value());
    BOOST_TEST(none->empty());
}

void one_deadline_for_all(context& c) {
    auto locks = c.open();
    const auto held = locks.acquire("z");
    const auto started = steady::now();
    BOOST_TEST(!locks.try_acquire_all({"a", "z"}, 50ms));
    BOOST_TEST((steady::now() - started >= 50ms));
    BOOST_TEST((steady::now() - started < 50ms + slack));
}

void opposite_orders_in_threads(context& c) {
    const int cycles = rounds(100);
    const auto run = [&](std::vector<std::string> names) {
        auto locks = c.place().open();
        for (int i = 0; i < cycles; ++i)
            if (!locks.try_acquire_all(names, patience)) throw std::runtime_error{"deadlock"};
    };
    const auto keeps_the_store_open = c.open();
    std::exception_ptr failure;
    std::jthread other{[&] {
        try {
            run({"c", "b", "a"});
        } catch (...) {
            failure = std::current_exception();
        }
    }};
    BOOST_CHECK_NO_THROW(run({"a", "b", "c"}));
    other.join();
    BOOST_TEST((failure == nullptr));
}

void opposite_orders_in_processes(context& c) {
    const auto keeps_the_store_open = c.open();
    std::vector<test::actor_process> actors(4);
    const char* orders[] = {"a,b,c", "c,b,a", "b,a,c", "c,a,b"};
    for (auto& a : actors) a.expect_ok("open " + c.place().url());
    for (std::size_t i = 0; i < actors.size(); ++i)
        actors[i].tell("cycle_all " + std::to_string(rounds(50)) + " " + orders[i]);
    for (auto& a : actors) BOOST_TEST(a.answer() == "ok");
}

}  // namespace

void add_several_cases(case_list& cases) {
    cases.insert(cases.end(),
                 {{"several_names_all", all_of_them},
                  {"several_names_or_none", none_of_them},
                  {"several_names_cancelled", a_cancelled_wait_leaves_none},
                  {"several_names_with_duplicates", duplicates_count_once},
                  {"several_names_of_which_none", nothing_is_always_free},
                  {"several_names_one_deadline", one_deadline_for_all},
                  {"several_names_in_opposite_orders", opposite_orders_in_threads},
                  {"several_names_in_opposite_orders_in_processes", opposite_orders_in_processes, need::processes}});
}

}  // namespace rowlock::conformance
