// What a handle does on every back end.
#include <boost/test/unit_test.hpp>

#include <stdexcept>
#include <thread>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

void release_is_idempotent(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    auto held = m.acquire();
    held.release();
    auto next = m.try_acquire();
    BOOST_REQUIRE(next.has_value());
    held.release();
    BOOST_TEST(!m.try_acquire(), "a second release takes nothing from the next holder");
    BOOST_CHECK_NO_THROW(next->verify());
}

void the_destructor_releases(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    for (int i = 0; i < 20; ++i) BOOST_TEST(m.try_acquire().has_value());
}

void another_thread_may_release(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    auto held = m.acquire();
    std::jthread{[h = std::move(held)]() mutable { h.release(); }}.join();
    BOOST_TEST(m.try_acquire().has_value());
}

void a_moved_from_handle_holds_nothing(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    auto first = m.acquire();
    {
        auto second = std::move(first);
        first.release();  // NOLINT(bugprone-use-after-move): that is the point
        BOOST_TEST(!m.try_acquire());
        BOOST_CHECK_THROW(first.verify(), std::logic_error);
    }
    BOOST_TEST(m.try_acquire().has_value());
}

void verify_asks_the_database(context& c) {
    auto locks = c.open();
    auto held = c.mutex(locks).acquire();
    BOOST_CHECK_NO_THROW(held.verify());
    held.release();
    BOOST_CHECK_THROW(held.verify(), std::logic_error);
}

void validity_lies_ahead_but_not_too_far(context& c) {
    c.use({.ttl = 10s});
    auto locks = c.open();
    const auto before = steady::now();
    auto held = c.mutex(locks).acquire();
    const auto until = held.valid_until();
    if (locks.traits().leases) {
        BOOST_TEST((until > steady::now()));
        BOOST_TEST((until <= steady::now() + 10s));
        BOOST_TEST((until > before + 8s));
    } else {
        BOOST_TEST((until == steady::time_point::max()));
    }
    BOOST_TEST(!held.lost().stop_requested());
    BOOST_TEST(!held.lost_reason());
    held.release();
    BOOST_TEST((held.valid_until() <= steady::now()));
}

void a_short_lease_is_kept_alive(context& c) {
    const auto ttl = c.kind().short_ttl * test::slowness;
    c.use({.ttl = ttl});
    auto locks = c.open();
    auto held = c.mutex(locks).acquire();
    const auto end = steady::now() + 4 * ttl;
    BOOST_TEST(eventually([&] { return steady::now() > end; }));
    BOOST_TEST(!held.lost().stop_requested());
    BOOST_CHECK_NO_THROW(held.verify());
    BOOST_TEST(!c.mutex(locks).try_acquire());
}

void a_handle_outlives_its_provider(context& c) {
    const auto keeps_the_store_open = c.open();
    std::optional<lock_handle> held;
    {
        auto locks = c.open();
        held = c.mutex(locks).acquire();
    }
    BOOST_CHECK_NO_THROW(held->verify());
    held.reset();
    c.check_free();
}

}  // namespace

void add_handle_cases(case_list& cases) {
    cases.insert(cases.end(),
                 {{"release_is_idempotent", release_is_idempotent},
                  {"the_destructor_releases", the_destructor_releases},
                  {"another_thread_may_release", another_thread_may_release},
                  {"a_moved_from_handle_holds_nothing", a_moved_from_handle_holds_nothing},
                  {"verify_asks_the_database", verify_asks_the_database},
                  {"validity_lies_ahead_but_not_too_far", validity_lies_ahead_but_not_too_far},
                  {"a_short_lease_is_kept_alive", a_short_lease_is_kept_alive, need::expiry | need::renewal},
                  {"a_handle_outlives_its_provider", a_handle_outlives_its_provider}});
}

}  // namespace rowlock::conformance
