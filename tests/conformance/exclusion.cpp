// One at a time: in a thread, between threads, between processes.
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <thread>

#include <support/actor_process.hpp>
#include <support/critical_section.hpp>
#include <support/temp_dir.hpp>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

void one_holder_at_a_time(context& c) {
    auto locks = c.open(), other = c.open();
    auto m = c.mutex(locks), same = c.mutex(other);
    auto held = m.try_acquire();
    BOOST_REQUIRE(held.has_value());
    BOOST_TEST(!same.try_acquire(), "through another view");
    BOOST_TEST(!m.try_acquire(), "through the same object");
    held->release();
    held = same.try_acquire();
    BOOST_TEST(held.has_value());
    BOOST_TEST(!m.try_acquire());
}

void it_is_not_reentrant(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    const auto held = m.acquire();
    BOOST_TEST(!m.try_acquire_for(10ms), "the process that holds it waits like anyone else");
}

void other_names_are_other_locks(context& c) {
    auto locks = c.open();
    const auto a = c.mutex(locks, "a").acquire();
    const auto b = c.mutex(locks, "b").try_acquire();
    BOOST_TEST(b.has_value());
}

void threads_exclude_each_other(context& c) {
    constexpr int threads = 8;
    const int cycles = rounds(50);
    std::atomic<int> inside{0}, overlaps{0};
    std::atomic<long> counter{0};  // read and written in two steps
    std::vector<provider> views;
    std::vector<mutex_like> mutexes;
    for (int i = 0; i < threads; ++i) mutexes.push_back(c.mutex(views.emplace_back(c.open())));
    {
        std::vector<std::jthread> all;
        for (auto& m : mutexes)
            all.emplace_back([&] {
                for (int i = 0; i < cycles; ++i) {
                    const auto held = m.acquire();
                    if (inside.fetch_add(1) != 0) ++overlaps;
                    const auto before = counter.load(std::memory_order_relaxed);
                    std::this_thread::yield();
                    counter.store(before + 1, std::memory_order_relaxed);
                    inside.fetch_sub(1);
                }
            });
    }
    BOOST_TEST(overlaps == 0);
    BOOST_TEST(counter == threads * cycles);
    c.check_free();
}

void processes_exclude_each_other(context& c) {
    const int cycles = rounds(100);
    const test::temp_dir directory;
    const auto file = (directory / "counter").string();
    auto locks = c.open();
    auto held = std::make_optional(c.mutex(locks).acquire());  // also takes the other permits, if there are any
    std::vector<test::actor_process> actors(4);
    for (auto& a : actors) {
        a.open(c.place().url(), " timeout=60000");
        a.tell("cycles " + std::to_string(cycles) + " n " + c.actor_mode() + " " + file);
    }
    if (c.kind().has_sessions) BOOST_TEST(c.waiting(locks, actors.size()));
    held.reset();
    for (auto& a : actors) BOOST_TEST(a.answer() == "ok 0");
    BOOST_TEST(test::critical_section{file}.visits() == static_cast<long>(actors.size()) * cycles);
    c.check_free();
}

void waiters_are_served_in_the_order_they_came(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    auto held = std::make_optional(m.acquire());
    std::mutex mutex;
    std::vector<int> order;
    {
        std::vector<std::jthread> waiters;
        for (int i = 0; i < 6; ++i) {
            waiters.emplace_back([&, i] {
                // Where other providers do not see who waits, this one does.
                auto view = c.kind().has_sessions ? c.place().open() : locks;
                const auto mine = c.mutex(view).acquire();
                const std::lock_guard lock{mutex};
                order.push_back(i);
            });
            BOOST_REQUIRE(c.waiting(locks, static_cast<std::size_t>(i) + 1));
        }
        BOOST_TEST(!m.try_acquire());
        held.reset();
    }
    BOOST_TEST((order == std::vector{0, 1, 2, 3, 4, 5}));
}

void processes_are_served_in_the_order_they_came(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    auto held = std::make_optional(m.acquire());
    std::vector<test::actor_process> actors(3);
    for (std::size_t i = 0; i < actors.size(); ++i) {
        actors[i].open(c.place().url());
        actors[i].tell("acquire h n " + c.actor_mode() + " -");
        BOOST_REQUIRE(c.waiting(locks, i + 1));
    }
    held.reset();
    for (std::size_t i = 0; i < actors.size(); ++i) {
        BOOST_TEST(actors[i].answer().starts_with("ok"));
        for (std::size_t later = i + 1; later < actors.size(); ++later) BOOST_TEST(actors[later].is_silent());
        actors[i].expect_ok("release h");
    }
}

void a_try_does_not_overtake_those_who_wait(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    const int cycles = rounds(100);
    std::atomic<int> waited{0};
    std::atomic<bool> over{false};
    // Without order a loop of tries would starve who waits.
    std::jthread greedy{[&] {
        auto view = c.place().open();
        auto mine = c.mutex(view);
        while (!over) (void)mine.try_acquire();
    }};
    for (int i = 0; i < cycles; ++i)
        if (m.try_acquire_for(patience)) ++waited;
    over = true;
    greedy.join();
    BOOST_TEST(waited == cycles);
}

}  // namespace

void add_exclusion_cases(case_list& cases) {
    cases.insert(cases.end(),
                 {{"one_holder_at_a_time", one_holder_at_a_time},
                  {"it_is_not_reentrant", it_is_not_reentrant},
                  {"other_names_are_other_locks", other_names_are_other_locks},
                  {"threads_exclude_each_other", threads_exclude_each_other},
                  {"processes_exclude_each_other", processes_exclude_each_other, need::processes},
                  {"waiters_are_served_in_the_order_they_came", waiters_are_served_in_the_order_they_came,
                   need::fair | need::inspection},
                  {"processes_are_served_in_the_order_they_came", processes_are_served_in_the_order_they_came,
                   need::fair | need::inspection | need::processes},
                  {"a_try_does_not_overtake_those_who_wait", a_try_does_not_overtake_those_who_wait, need::fair}});
}

}  // namespace rowlock::conformance
