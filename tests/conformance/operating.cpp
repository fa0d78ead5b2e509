// What an operator sees and does: status, break, purge.
#include <boost/test/unit_test.hpp>

#include <thread>

#include <rowlock/error.hpp>

#include <support/actor_process.hpp>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

// Waits until the holder has heard of its loss.
bool hears(const lock_handle& held) {
    return eventually([&] { return held.lost().stop_requested(); });
}

void status_shows_who_holds_and_who_waits(context& c) {
    c.use({.owner = "me"});
    auto locks = c.open();
    const auto before = std::chrono::system_clock::now() - 1s;
    const auto held = locks.acquire("n");
    std::stop_source stop;
    auto waiter = in_background([&] { return throws<cancelled>([&] { (void)locks.acquire("n", stop.get_token()); }); });
    BOOST_TEST(c.waiting(locks, 1));
    const auto all = locks.status();
    BOOST_REQUIRE(all.size() == 1U);
    BOOST_TEST(all[0].name == "n");
    BOOST_REQUIRE(all[0].holders.size() == 1U);
    const auto& h = all[0].holders[0];
    BOOST_TEST((h.mode == lock_mode::exclusive));
    BOOST_TEST(h.owner == "me");
    BOOST_TEST((h.token == held.token()));
    BOOST_TEST((h.since >= before));
    BOOST_TEST((h.since <= std::chrono::system_clock::now() + 1s));
    BOOST_TEST(h.expires_in.has_value() == locks.traits().leases);
    if (h.expires_in) {
        BOOST_TEST((*h.expires_in > 0ms));
        BOOST_TEST((*h.expires_in <= 30s));
    }
    BOOST_REQUIRE(all[0].waiters.size() == 1U);
    BOOST_TEST(all[0].waiters[0].owner == "me");
    BOOST_TEST((all[0].waiters[0].mode == lock_mode::exclusive));
    stop.request_stop();
    BOOST_TEST(waiter.get());
    BOOST_TEST(c.waiting(locks, 0));
}

void status_is_sorted_and_filtered_by_prefix(context& c) {
    auto locks = c.open();
    std::vector<lock_handle> held;
    for (const auto* name : {"b:2", "a:1", "b:1", "b", "B:1"}) held.push_back(locks.acquire(name));
    const auto names = [&](std::string_view prefix) {
        std::vector<std::string> found;
        for (const auto& s : locks.status(prefix)) found.push_back(s.name);
        return found;
    };
    BOOST_TEST((names("") == std::vector<std::string>{"B:1", "a:1", "b", "b:1", "b:2"}));
    BOOST_TEST((names("b:") == std::vector<std::string>{"b:1", "b:2"}));
    BOOST_TEST(names("b:%").empty());
    BOOST_TEST(names("nothing").empty());
    held.clear();
    BOOST_TEST(names("").empty());
}

void status_shows_every_mode(context& c) {
    auto locks = c.open();
    if (!locks.supports(primitive::upgrade_mutex) || !locks.supports(primitive::semaphore)) return;
    const auto reading = shared_mutex{locks, "a"}.acquire_shared();
    const auto upgrade = upgrade_mutex{locks, "a"}.acquire_upgrade();
    const auto permit = semaphore{locks, "b", 2}.acquire();
    const auto all = locks.status();
    BOOST_REQUIRE(all.size() == 2U);
    BOOST_REQUIRE(all[0].holders.size() == 2U);
    BOOST_TEST((all[0].holders[0].mode == lock_mode::shared));
    BOOST_TEST((all[0].holders[1].mode == lock_mode::upgrade));
    BOOST_TEST((all[1].holders.at(0).mode == lock_mode::permit));
}

void a_broken_lock_is_lost_with_its_reason(context& c) {
    const auto heard = std::make_shared<test::recorder>();
    c.use({.owner = "operator", .events = heard});
    auto locks = c.open(), elsewhere = c.open();
    auto held = locks.acquire("n");
    BOOST_TEST(elsewhere.break_lock("n", "it hangs"));
    const auto next = elsewhere.try_acquire("n");
    BOOST_REQUIRE(next.has_value());
    BOOST_TEST((next->token() > held.token()));
    BOOST_TEST(hears(held));
    BOOST_TEST((held.lost_reason() == loss_reason::broken));
    BOOST_TEST(held.lost_detail() == "broken by operator: it hangs");
    BOOST_TEST((held.valid_until() <= steady::now()));
    BOOST_CHECK_THROW(held.verify(), lock_lost);
    BOOST_TEST(heard->heard("lost"));
    held.release();
    BOOST_CHECK_NO_THROW(const_cast<lock_handle&>(*next).verify());
    BOOST_TEST(heard->count("released") == 0, "what was lost is not released");
}

void verify_right_after_a_break_says_broken(context& c) {
    auto locks = c.open();
    auto held = locks.acquire("n");
    BOOST_TEST(locks.break_lock("n", "it hangs"));
    BOOST_CHECK_THROW(held.verify(), lock_lost);
    BOOST_TEST((held.lost_reason() == loss_reason::broken));
}

void a_break_lets_the_next_waiter_in(context& c) {
    auto locks = c.open();
    auto held = locks.acquire("n");
    std::optional<lock_handle> next;
    std::jthread waiter{[&] { next = locks.acquire("n"); }};
    BOOST_TEST(c.waiting(locks, 1));
    BOOST_TEST(locks.break_lock("n", "test"));
    const auto broken = steady::now();
    waiter.join();
    BOOST_TEST((steady::now() - broken < slack));
    BOOST_TEST(next.has_value());
}

void a_break_takes_it_from_all_who_share_it(context& c) {
    auto locks = c.open();
    if (!locks.supports(primitive::shared_mutex)) return;
    shared_mutex s{locks, "n"};
    const auto one = s.acquire_shared(), two = s.acquire_shared();
    BOOST_TEST(locks.break_lock("n", "test"));
    BOOST_TEST(hears(one));
    BOOST_TEST(hears(two));
    BOOST_TEST(s.try_acquire().has_value());
}

void a_break_ends_the_wait_for_an_upgrade(context& c) {
    auto locks = c.open();
    if (!locks.supports(primitive::upgrade_mutex)) return;
    upgrade_mutex u{locks, "n"};
    auto upgrade = u.acquire_upgrade();
    const auto reading = u.acquire_shared();
    auto upgrader = in_background([&] { return throws<lock_lost>([&] { upgrade.upgrade(); }); });
    BOOST_TEST(c.waiting(locks, 1));
    std::optional<lock_handle> next;
    std::jthread waiter{[&] { next = u.acquire(); }};
    BOOST_TEST(c.waiting(locks, 2));
    BOOST_TEST(locks.break_lock("n", "test"));
    BOOST_TEST(upgrader.get());
    waiter.join();
    BOOST_TEST(next.has_value());
}

void a_break_reaches_another_process(context& c) {
    auto locks = c.open();
    test::actor_process a;
    // Where it is not told, it finds out at its next renewal.
    a.open(c.place().url(), c.kind().has_sessions ? "" : " ttl=1000");
    a.expect_ok("acquire h n exclusive -");
    BOOST_TEST(locks.break_lock("n", "test"));
    const auto broken = steady::now();
    BOOST_TEST(eventually([&] { return a.ask("lost h") == "lost broken"; }));
    const auto next_renewal = c.kind().has_sessions ? 0ms : 334ms;
    BOOST_TEST((steady::now() - broken < next_renewal + slack), "not found out 10 s later");
}

void nothing_to_break(context& c) {
    auto locks = c.open();
    BOOST_TEST(!locks.break_lock("never held", "test"));
    locks.acquire("n").release();
    BOOST_TEST(!locks.break_lock("n", "test"));
    c.check_free();
}

void purge_forgets_idle_names_only(context& c) {
    auto locks = c.open();
    for (const auto* name : {"a", "b", "c"}) locks.acquire(name).release();
    const auto held = locks.acquire("held");
    BOOST_TEST(locks.purge(1h) == 0U);
    BOOST_TEST(locks.purge(0ms) == 3U);
    BOOST_TEST(locks.purge(0ms) == 0U);
    BOOST_CHECK_NO_THROW(const_cast<lock_handle&>(held).verify());
    BOOST_TEST(!locks.try_acquire("held"));
}

}  // namespace

void add_operating_cases(case_list& cases) {
    constexpr auto inspection = need::inspection, operation = need::inspection | need::operation;
    cases.insert(
        cases.end(),
        {{"status_shows_who_holds_and_who_waits", status_shows_who_holds_and_who_waits, inspection},
         {"status_is_sorted_and_filtered_by_prefix", status_is_sorted_and_filtered_by_prefix, inspection},
         {"status_shows_every_mode", status_shows_every_mode, inspection},
         {"a_broken_lock_is_lost_with_its_reason", a_broken_lock_is_lost_with_its_reason, operation | need::renewal},
         {"verify_right_after_a_break_says_broken", verify_right_after_a_break_says_broken, operation},
         {"a_break_lets_the_next_waiter_in", a_break_lets_the_next_waiter_in, operation},
         {"a_break_takes_it_from_all_who_share_it", a_break_takes_it_from_all_who_share_it, operation},
         {"a_break_ends_the_wait_for_an_upgrade", a_break_ends_the_wait_for_an_upgrade, operation},
         {"a_break_reaches_another_process", a_break_reaches_another_process,
          operation | need::processes | need::renewal},
         {"nothing_to_break", nothing_to_break, operation},
         {"purge_forgets_idle_names_only", purge_forgets_idle_names_only, need::purging}});
}

}  // namespace rowlock::conformance
