// At most N at once, and every permit comes back.
#include <boost/test/unit_test.hpp>

#include <thread>

#include <support/actor_process.hpp>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

void so_many_and_no_more(context& c) {
    auto locks = c.open(), other = c.open();
    semaphore s{locks, "n", 3}, same{other, "n", 3};
    std::vector<lock_handle> held;
    held.push_back(s.acquire());
    held.push_back(same.try_acquire().value());
    held.push_back(s.try_acquire_for(1ms).value());
    BOOST_TEST((held[0].mode() == lock_mode::permit));
    BOOST_TEST(!s.try_acquire());
    BOOST_TEST(!same.try_acquire_for(2ms));
    BOOST_TEST(!same.try_acquire_until(steady::now() + 2ms));
    BOOST_TEST(c.place().holders_in_database("n") == 3);
    held.erase(held.begin() + 1);
    BOOST_TEST(s.try_acquire().has_value());
    held.clear();
    for (int i = 0; i < 3; ++i) held.push_back(s.try_acquire().value());
    BOOST_TEST(!s.try_acquire(), "three came back, not more");
}

void a_released_permit_goes_to_who_waits(context& c) {
    auto locks = c.open();
    semaphore s{locks, "n", 2};
    auto one = std::make_optional(s.acquire());
    const auto two = s.acquire();
    std::optional<lock_handle> got;
    std::jthread waiter{[&] { got = s.acquire(); }};
    BOOST_TEST(c.waiting(locks, 1));
    one.reset();
    waiter.join();
    BOOST_TEST(got.has_value());
    BOOST_TEST(!s.try_acquire());
}

void threads_never_exceed_the_limit(context& c) {
    auto locks = c.open();
    semaphore s{locks, "n", 3};
    std::atomic<int> inside{0}, most{0}, alone{0};
    const int cycles = rounds(60);
    std::vector<std::jthread> all;
    for (int t = 0; t < 8; ++t)
        all.emplace_back([&] {
            for (int i = 0; i < cycles; ++i) {
                const auto permit = s.acquire();
                const int now = ++inside;
                for (int before = most; before < now && !most.compare_exchange_weak(before, now);) {
                }
                // The first one stays until somebody has come in beside it.
                if (i == 0 && !eventually([&] { return most >= 2; })) ++alone;
                --inside;
            }
        });
    all.clear();
    BOOST_TEST(alone == 0, "it does let several in");
    BOOST_TEST(most <= 3);
    for (int i = 0; i < 3; ++i) BOOST_TEST(c.place().holders_in_database("n") == 0);
}

void a_dead_holders_permit_comes_back(context& c) {
    auto locks = c.open();
    semaphore s{locks, "n", 2};
    const auto one = s.acquire();
    test::actor_process a;
    a.open(c.place().url());
    a.expect_ok("acquire h n permit/2 -");
    BOOST_TEST(!s.try_acquire());
    a.kill();
    c.bury();
    BOOST_TEST(s.try_acquire_for(slack).has_value());
}

void each_asker_counts_against_its_own_number(context& c) {
    auto locks = c.open();
    semaphore small{locks, "n", 1}, large{locks, "n", 3};
    const auto one = small.acquire();
    const auto two = large.try_acquire();
    BOOST_TEST(two.has_value());
    BOOST_TEST(!small.try_acquire());
}

void a_large_semaphore(context& c) {
    auto locks = c.open();
    semaphore s{locks, "n", 2147483647};
    std::vector<lock_handle> held;
    for (int i = 0; i < 100; ++i) held.push_back(s.try_acquire().value());
    if (c.kind().counts_permits) BOOST_TEST(c.place().holders_in_database("n") == 100);
}

}  // namespace

void add_semaphore_cases(case_list& cases) {
    cases.insert(cases.end(), {{"so_many_and_no_more", so_many_and_no_more},
                               {"a_released_permit_goes_to_who_waits", a_released_permit_goes_to_who_waits},
                               {"threads_never_exceed_the_limit", threads_never_exceed_the_limit},
                               {"a_dead_holders_permit_comes_back", a_dead_holders_permit_comes_back, need::processes},
                               {"each_asker_counts_against_its_own_number", each_asker_counts_against_its_own_number},
                               {"a_large_semaphore", a_large_semaphore}});
}

}  // namespace rowlock::conformance
