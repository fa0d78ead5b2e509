// The third mode, and the way from it to exclusive.
#include <boost/test/unit_test.hpp>

#include <stdexcept>
#include <thread>

#include <rowlock/error.hpp>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

void one_upgrade_beside_readers(context& c) {
    auto locks = c.open();
    upgrade_mutex u{locks, "n"};
    const auto reader = u.acquire_shared();
    auto upgrade = u.try_acquire_upgrade();
    BOOST_REQUIRE(upgrade.has_value());
    BOOST_TEST((upgrade->mode() == lock_mode::upgrade));
    BOOST_TEST(u.try_acquire_shared().has_value(), "readers may still come");
    BOOST_TEST(!u.try_acquire_upgrade(), "there is one at a time");
    BOOST_TEST(!u.try_acquire_upgrade_for(2ms));
    BOOST_TEST(!u.try_acquire_upgrade_until(steady::now() + 2ms));
    BOOST_TEST(!u.try_acquire());
    upgrade->release();
    BOOST_TEST(u.try_acquire_upgrade().has_value());
}

void an_exclusive_holder_keeps_it_out(context& c) {
    auto locks = c.open();
    upgrade_mutex u{locks, "n"};
    auto writer = std::make_optional(u.acquire());
    BOOST_TEST(!u.try_acquire_upgrade());
    std::optional<lock_handle> got;
    std::jthread waiter{[&] { got = u.acquire_upgrade(); }};
    BOOST_TEST(c.waiting(locks, 1));
    writer.reset();
    waiter.join();
    BOOST_TEST((got->mode() == lock_mode::upgrade));
}

void upgrading_makes_it_exclusive(context& c) {
    auto locks = c.open();
    upgrade_mutex u{locks, "n"};
    auto h = u.acquire_upgrade();
    const auto before = h.token();
    BOOST_TEST(h.try_upgrade());
    BOOST_TEST((h.mode() == lock_mode::exclusive));
    BOOST_TEST(!u.try_acquire_shared());
    if (before) BOOST_TEST((h.token() > before));
    BOOST_CHECK_NO_THROW(h.verify());
    BOOST_TEST(c.place().holders_in_database("n") == 1);
    h.release();
    c.check_free();
}

void it_waits_for_readers_to_leave_and_lets_no_new_ones_in(context& c) {
    auto locks = c.open();
    upgrade_mutex u{locks, "n"};
    auto reader = std::make_optional(u.acquire_shared());
    auto h = u.acquire_upgrade();
    std::jthread upgrader{[&] { h.upgrade(); }};
    BOOST_TEST(c.waiting(locks, 1));
    BOOST_TEST(!u.try_acquire_shared(), "a new reader would starve it");
    reader.reset();
    upgrader.join();
    BOOST_TEST((h.mode() == lock_mode::exclusive));
    BOOST_TEST(!u.try_acquire_shared());
}

void it_goes_before_those_who_waited_longer(context& c) {
    auto locks = c.open();
    upgrade_mutex u{locks, "n"};
    auto reader = std::make_optional(u.acquire_shared());
    auto h = u.acquire_upgrade();
    std::optional<lock_handle> writer;
    std::jthread waiter{[&] { writer = u.acquire(); }};
    BOOST_TEST(c.waiting(locks, 1));
    std::jthread upgrader{[&] { h.upgrade(); }};
    BOOST_TEST(c.waiting(locks, 2));
    reader.reset();
    upgrader.join();
    BOOST_TEST((h.mode() == lock_mode::exclusive), "or both would wait for each other for ever");
    h.release();
    waiter.join();
    BOOST_TEST(writer.has_value());
}

void a_failed_upgrade_keeps_the_upgrade_lock(context& c) {
    auto locks = c.open();
    upgrade_mutex u{locks, "n"};
    auto reader = u.acquire_shared();
    auto h = u.acquire_upgrade();
    BOOST_TEST(!h.try_upgrade());
    const auto started = steady::now();
    BOOST_TEST(!h.try_upgrade_for(20ms));
    BOOST_TEST((steady::now() - started >= 20ms));
    BOOST_TEST((h.mode() == lock_mode::upgrade));
    BOOST_CHECK_NO_THROW(h.verify());
    BOOST_TEST(!h.lost().stop_requested());
    BOOST_TEST(u.try_acquire_shared().has_value(), "readers may come again");
    BOOST_TEST(!u.try_acquire_upgrade());
    reader.release();
    BOOST_TEST(h.try_upgrade(), "and it may try again");
}

void a_cancelled_upgrade_keeps_the_upgrade_lock(context& c) {
    auto locks = c.open();
    upgrade_mutex u{locks, "n"};
    const auto reader = u.acquire_shared();
    auto h = u.acquire_upgrade();
    std::stop_source stop;
    std::jthread stopper{[&] {
        (void)c.waiting(locks, 1);
        stop.request_stop();
    }};
    BOOST_CHECK_THROW(h.upgrade(stop.get_token()), cancelled);
    BOOST_TEST((h.mode() == lock_mode::upgrade));
    BOOST_CHECK_NO_THROW(h.verify());
    BOOST_TEST(u.try_acquire_shared().has_value());
}

void other_modes_cannot_be_upgraded(context& c) {
    auto locks = c.open();
    upgrade_mutex u{locks, "n"};
    {
        auto reader = u.acquire_shared();
        BOOST_CHECK_THROW((void)reader.try_upgrade(), std::logic_error);
        BOOST_CHECK_NO_THROW(reader.verify());
    }
    auto writer = u.acquire();
    BOOST_CHECK_THROW((void)writer.try_upgrade(), std::logic_error);
}

void a_lease_that_ended_cannot_be_upgraded(context& c) {
    auto locks = c.open();
    upgrade_mutex u{locks, "n"};
    auto h = u.acquire_upgrade();
    BOOST_TEST(c.place().expire("n"));
    BOOST_CHECK_THROW((void)h.try_upgrade(), lock_lost);
    BOOST_TEST(u.try_acquire().has_value());
}

void many_who_read_then_write(context& c) {
    auto locks = c.open();
    upgrade_mutex u{locks, "n"};
    std::atomic<int> inside{0}, wrong{0}, upgraded{0};
    const int cycles = rounds(40);
    std::vector<std::jthread> all;
    for (int t = 0; t < 4; ++t)
        all.emplace_back([&, t] {
            for (int i = 0; i < cycles; ++i) {
                if (t == 3) {
                    const auto reader = u.acquire_shared();
                    if (inside != 0) ++wrong;
                    continue;
                }
                auto h = u.acquire_upgrade();
                h.upgrade();
                if (inside.fetch_add(1) != 0) ++wrong;
                std::this_thread::yield();
                --inside;
                ++upgraded;
            }
        });
    all.clear();
    BOOST_TEST(wrong == 0);
    BOOST_TEST(upgraded == 3 * cycles);
}

}  // namespace

void add_upgrade_cases(case_list& cases) {
    cases.insert(cases.end(),
                 {{"one_upgrade_beside_readers", one_upgrade_beside_readers},
                  {"an_exclusive_holder_keeps_it_out", an_exclusive_holder_keeps_it_out},
                  {"upgrading_makes_it_exclusive", upgrading_makes_it_exclusive},
                  {"it_waits_for_readers_to_leave_and_lets_no_new_ones_in",
                   it_waits_for_readers_to_leave_and_lets_no_new_ones_in, need::inspection},
                  {"it_goes_before_those_who_waited_longer", it_goes_before_those_who_waited_longer},
                  {"a_failed_upgrade_keeps_the_upgrade_lock", a_failed_upgrade_keeps_the_upgrade_lock},
                  {"a_cancelled_upgrade_keeps_the_upgrade_lock", a_cancelled_upgrade_keeps_the_upgrade_lock},
                  {"other_modes_cannot_be_upgraded", other_modes_cannot_be_upgraded},
                  {"a_lease_that_ended_cannot_be_upgraded", a_lease_that_ended_cannot_be_upgraded, need::expiry},
                  {"many_who_read_then_write", many_who_read_then_write}});
}

}  // namespace rowlock::conformance
