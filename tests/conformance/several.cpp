// Several names at once: all or none, and never a deadlock.
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <map>
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
    // Long enough to be a wait, so what is opened for that is open by now, however long it takes.
    BOOST_TEST(!locks.try_acquire_all({"a", "z"}, 100ms));
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
    for (auto& a : actors) a.open(c.place().url());
    for (std::size_t i = 0; i < actors.size(); ++i)
        actors[i].tell("cycle_all " + std::to_string(rounds(50)) + " " + orders[i]);
    for (auto& a : actors) BOOST_TEST(a.answer() == "ok");
}

void a_hundred_of_them(context& c) {
    auto locks = c.open();
    std::vector<std::string> names;
    for (int i = 0; i < 100; ++i) names.push_back("n" + std::to_string(100 + i));
    for (int round = 0; round < 3; ++round) {  // new names, then known ones
        auto all = locks.try_acquire_all(names);
        BOOST_REQUIRE(all.has_value());
        BOOST_REQUIRE(all->size() == names.size());
        for (std::size_t i = 0; i < names.size(); ++i) {
            BOOST_TEST(all->at(i).name() == names[i]);
            BOOST_TEST(all->at(i).token().has_value() == locks.traits().tokens);
            BOOST_TEST(c.place().holders_in_database(names[i]) >= 1);
        }
        BOOST_TEST(!c.open().try_acquire_all({"n150", "other"}));
        BOOST_CHECK_NO_THROW(all->at(50).verify());
        all->at(50).release();
        BOOST_TEST(c.open().try_acquire_all({"n150", "other"}).has_value());
    }
    c.check_free("n100");
    c.check_free("n199");
}

void the_last_of_a_hundred_is_busy(context& c) {
    auto locks = c.open();
    const auto held = c.open().acquire("n199");
    std::vector<std::string> names;
    for (int i = 0; i < 100; ++i) names.push_back("n" + std::to_string(100 + i));
    for (int round = 0; round < 3; ++round) {
        BOOST_TEST(!locks.try_acquire_all(names));
        BOOST_TEST(c.place().holders_in_database("n199") == 1);
        for (const auto* free : {"n100", "n150", "n198"}) c.check_free(free);
    }
}

// Somebody of the same provider, and somebody who shares it.
void busy_in_every_way(context& c) {
    auto locks = c.open(), others = c.open();
    for (auto* who : {&locks, &others}) {
        const auto held = who->acquire("b");
        BOOST_TEST(!locks.try_acquire_all({"a", "b"}));
    }
    if (!locks.supports(primitive::shared_mutex)) return;
    for (auto* who : {&locks, &others}) {
        const auto held = shared_mutex{*who, "b"}.acquire_shared();
        BOOST_TEST(!locks.try_acquire_all({"a", "b"}));
    }
    BOOST_TEST(locks.try_acquire_all({"a", "b"}).has_value());
}

// Whoever tries for many does not get before one who waits for one of them.
void nobody_who_waits_is_overtaken(context& c) {
    auto locks = c.open(), others = c.open();
    auto held = std::make_optional(locks.acquire("b"));
    std::optional<lock_handle> next;
    std::jthread waiter{[&] { next = others.acquire("b"); }};
    BOOST_TEST(c.waiting(others, 1, "b"));
    held.reset();
    BOOST_TEST(!locks.try_acquire_all({"a", "b"}));
    waiter.join();
    BOOST_TEST(next.has_value());
}

void each_token_grows(context& c) {
    auto locks = c.open();
    std::vector<fencing_token> last(3, fencing_token{0});
    for (int round = 0; round < 4; ++round) {
        const auto all = locks.try_acquire_all({"a", "b", "c"});
        BOOST_REQUIRE(all.has_value());
        for (std::size_t i = 0; i < 3; ++i) {
            BOOST_REQUIRE(all->at(i).token().has_value());
            BOOST_TEST((*all->at(i).token() > last[i]));
            last[i] = *all->at(i).token();
        }
    }
    BOOST_TEST((locks.acquire("b").token() > last[1]));
}

void a_renewed_set_outlives_its_time(context& c) {
    const auto ttl = 2 * c.kind().short_ttl * test::slowness;
    c.use({.ttl = ttl});
    auto locks = c.open();
    const auto all = locks.try_acquire_all({"a", "b", "c"});
    BOOST_REQUIRE(all.has_value());
    std::this_thread::sleep_for(3 * ttl);
    for (const auto& h : *all) BOOST_TEST(!h.lost().stop_requested());
    BOOST_TEST(!c.open().try_acquire("b"));
}

// Tries without waiting, from all sides: never two at once, and never anything left behind.
void threads_that_try(context& c) {
    const std::vector<std::vector<std::string>> sets{{"a", "b", "c"}, {"c", "d", "a"}, {"d", "b"}, {"b", "c"}};
    std::map<std::string, std::atomic<int>> inside;
    for (const auto* n : {"a", "b", "c", "d"}) inside[n] = 0;
    std::atomic<int> overlaps{0}, granted{0};
    const auto keeps_the_store_open = c.open();
    {
        std::vector<std::jthread> all;
        for (const auto& names : sets)
            all.emplace_back([&, locks = c.open()]() mutable {
                for (int i = 0; i < rounds(200); ++i) {
                    const auto held = locks.try_acquire_all(names);
                    if (!held) continue;
                    ++granted;
                    for (const auto& n : names) overlaps += inside.at(n)++ != 0;
                    for (const auto& n : names) --inside.at(n);
                }
            });
    }
    BOOST_TEST(granted > 0);
    BOOST_TEST(overlaps == 0);
    for (const auto* n : {"a", "b", "c", "d"}) c.check_free(n);
}

}  // namespace

void add_several_cases(case_list& cases) {
    cases.insert(cases.end(),
                 {{"several_names_all", all_of_them},
                  {"several_names_or_none", none_of_them},
                  {"several_names_cancelled", a_cancelled_wait_leaves_none},
                  {"several_names_a_hundred", a_hundred_of_them},
                  {"several_names_of_which_the_last_is_busy", the_last_of_a_hundred_is_busy},
                  {"several_names_busy_in_every_way", busy_in_every_way},
                  {"several_names_overtake_nobody", nobody_who_waits_is_overtaken, need::fair | need::inspection},
                  {"several_names_have_their_tokens", each_token_grows, need::tokens},
                  {"several_names_are_renewed", a_renewed_set_outlives_its_time, need::renewal},
                  {"several_names_from_all_sides", threads_that_try},
                  {"several_names_with_duplicates", duplicates_count_once},
                  {"several_names_of_which_none", nothing_is_always_free},
                  {"several_names_one_deadline", one_deadline_for_all},
                  {"several_names_in_opposite_orders", opposite_orders_in_threads},
                  {"several_names_in_opposite_orders_in_processes", opposite_orders_in_processes, need::processes}});
}

}  // namespace rowlock::conformance
