// What a forked child may not do with its parent's locks, and what it can do with its own.
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <thread>

#include <rowlock/error.hpp>

#include <support/in_child.hpp>
#include <support/sqlite_file.hpp>

using namespace std::chrono_literals;
using rowlock::test::eventually;
using rowlock::test::in_child;
using rowlock::test::is_refused;
using steady = std::chrono::steady_clock;

namespace {

constexpr auto ttl = 300ms * rowlock::test::slowness;

struct fixture {
    rowlock::test::sqlite_file db;
    rowlock::provider locks = db.open({.ttl = ttl});
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(forking, fixture)

BOOST_AUTO_TEST_CASE(a_child_owns_nothing_and_takes_nothing_away) {
    auto held = std::make_optional(locks.acquire("n"));
    BOOST_TEST(in_child([&] {
                   int wrong = 0;
                   wrong |= !is_refused([&] { (void)locks.try_acquire("other"); }) << 0;
                   wrong |= !is_refused([&] { held->verify(); }) << 1;
                   wrong |= !is_refused([&] { (void)locks.status(); }) << 2;
                   wrong |= !(held->name().empty() && !held->token() && !held->lost().stop_possible()) << 3;
                   held->release();
                   held.reset();
                   return wrong;
               }) == 0,
               "bits of what went wrong");
    BOOST_CHECK_NO_THROW(held->verify());
    BOOST_TEST(!locks.try_acquire("n"), "the child's handle has released nothing");
}

BOOST_AUTO_TEST_CASE(a_child_that_opens_anew_is_another_process) {
    const auto held = locks.acquire("n");
    BOOST_TEST(in_child([&] {
                   auto own = db.open({.ttl = ttl});
                   if (own.try_acquire("n")) return 1;
                   auto other = own.try_acquire("other");
                   if (!other) return 2;
                   other->verify();
                   return 0;
               }) == 0);
    BOOST_TEST(locks.try_acquire("other").has_value());
    BOOST_TEST(!locks.try_acquire("n"));
}

BOOST_AUTO_TEST_CASE(a_dead_child_is_replaced_at_once_though_its_parent_lives) {
    auto patient = db.open({.ttl = 30s});
    BOOST_TEST(in_child([&] {
                   auto own = db.open({.ttl = 30s});
                   auto* leaked = new rowlock::lock_handle{own.acquire("n")};
                   return leaked->token() ? 0 : 1;
               }) == 0);
    BOOST_TEST(patient.try_acquire("n", rowlock::test::slack).has_value());
}

BOOST_AUTO_TEST_CASE(the_parent_goes_on_renewing) {
    auto held = locks.acquire("n");
    for (int i = 0; i < 3; ++i) {
        BOOST_TEST(in_child([] { return 0; }) == 0);
        const auto end = steady::now() + ttl;
        BOOST_TEST(eventually([&] { return steady::now() > end; }));
    }
    BOOST_TEST(!held.lost().stop_requested());
    BOOST_CHECK_NO_THROW(held.verify());
}

// What renewing hangs on: in the child, which has no threads but its own, nobody renews.
BOOST_AUTO_TEST_CASE(control_a_lease_that_nobody_renews_is_over_in_that_time) {
    auto held = locks.acquire("n");
    auto raw = db.raw();
    raw.exec("BEGIN IMMEDIATE");  // keeps the renewal out
    const auto end = steady::now() + 2 * ttl;
    BOOST_TEST(eventually([&] { return steady::now() > end; }));
    BOOST_TEST(held.lost().stop_requested());
}

BOOST_AUTO_TEST_CASE(a_wait_in_the_parent_is_not_disturbed) {
    auto held = std::make_optional(locks.acquire("n"));
    std::optional<rowlock::lock_handle> got;
    std::jthread waiter{[&] { got = locks.acquire("n"); }};
    BOOST_TEST(rowlock::test::waiting(locks, 1));
    for (int i = 0; i < 5; ++i)
        BOOST_TEST(in_child([&] {
                       auto own = db.open();
                       return own.try_acquire("n") ? 1 : 0;
                   }) == 0);
    held.reset();
    waiter.join();
    BOOST_TEST(got.has_value());
}

BOOST_AUTO_TEST_CASE(forking_in_the_midst_of_traffic_harms_nothing) {
    std::atomic<bool> over{false};
    std::atomic<int> inside{0}, overlaps{0}, cycles{0};
    {
        std::vector<std::jthread> traffic;
        for (int t = 0; t < 3; ++t)
            traffic.emplace_back([&] {
                while (!over) {
                    const auto mine = locks.acquire("busy");
                    if (inside.fetch_add(1) != 0) ++overlaps;
                    ++cycles;
                    inside.fetch_sub(1);
                }
            });
        for (int i = 0; i < 20; ++i)
            BOOST_TEST(in_child([&] {
                           auto own = db.open();
                           auto mine = own.try_acquire("child", 5s);
                           if (!mine) return 1;
                           mine->release();
                           return 0;
                       }) == 0);
        const int before = cycles;
        BOOST_TEST(eventually([&] { return cycles > before + 10; }), "the parent's traffic goes on");
        over = true;
    }
    BOOST_TEST(overlaps == 0);
    BOOST_TEST(db.ask("PRAGMA integrity_check") == "ok");
    BOOST_TEST(locks.try_acquire("busy").has_value());
}

BOOST_AUTO_TEST_SUITE_END()
