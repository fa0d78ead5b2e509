#include <boost/test/unit_test.hpp>

#include <chrono>
#include <thread>

#include <boot_timer.hpp>

#include <support/slack.hpp>

using namespace std::chrono_literals;
using rowlock::boot_clock;
using rowlock::detail::boot_timer;

BOOST_AUTO_TEST_CASE(it_sleeps_until_the_time_not_shorter_and_hardly_longer) {
    boot_timer t;
    const auto at = boot_clock::now() + 30ms;
    t.sleep_until(at);
    const auto now = boot_clock::now();
    BOOST_TEST((now >= at));
    BOOST_TEST((now < at + rowlock::test::slack));
}

BOOST_AUTO_TEST_CASE(the_past_does_not_sleep) {
    boot_timer t;
    t.sleep_until(boot_clock::now() - 1h);
    t.sleep_until(boot_clock::time_point{});
    t.sleep_until(boot_clock::time_point{-1ns});
}

BOOST_AUTO_TEST_CASE(a_wake_before_the_sleep_is_not_lost) {
    boot_timer t;
    t.wake();
    t.wake();
    t.sleep_until(boot_clock::time_point::max());
}

BOOST_AUTO_TEST_CASE(a_wake_is_used_up_by_one_sleep) {
    boot_timer t;
    t.wake();
    t.sleep_until(boot_clock::time_point::max());
    const auto at = boot_clock::now() + 20ms;
    t.sleep_until(at);
    BOOST_TEST((boot_clock::now() >= at));
}

BOOST_AUTO_TEST_CASE(a_wake_ends_an_endless_sleep) {
    boot_timer t;
    std::jthread waker{[&] { t.wake(); }};
    t.sleep_until(boot_clock::time_point::max());
}

BOOST_AUTO_TEST_CASE(an_earlier_alarm_does_not_end_a_later_sleep) {
    boot_timer t;
    t.sleep_until(boot_clock::now() + 1ms);
    const auto at = boot_clock::now() + 20ms;
    t.sleep_until(at);
    BOOST_TEST((boot_clock::now() >= at));
}
