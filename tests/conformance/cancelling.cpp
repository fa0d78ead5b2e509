// Stop tokens: before, during, and at the moment of the grant.
#include <boost/test/unit_test.hpp>

#include <thread>

#include <rowlock/error.hpp>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

void before_the_question(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    std::stop_source stop;
    stop.request_stop();
    BOOST_CHECK_THROW((void)m.acquire(stop.get_token()), cancelled);
    BOOST_CHECK_THROW((void)m.try_acquire_for(1h, stop.get_token()), cancelled);
    BOOST_CHECK_THROW((void)m.try_acquire_for(0s, stop.get_token()), cancelled);
    c.check_free();
}

void during_the_wait(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    auto held = std::make_optional(m.acquire());
    BOOST_TEST(!m.try_acquire_for(100ms));  // long enough to be a wait: what is opened for that is open by now
    std::stop_source stop;
    steady::time_point stopped;
    std::jthread stopper{[&] {
        if (!c.waiting(locks, 1)) return;
        stopped = steady::now();
        stop.request_stop();
    }};
    BOOST_CHECK_EXCEPTION((void)m.acquire(stop.get_token()), cancelled,
                          [&](const cancelled& e) { return e.lock_name() == c.place().own_prefix() + "n"; });
    stopper.join();
    BOOST_TEST((steady::now() - stopped < slack), "promptly");
    BOOST_TEST(c.waiting(locks, 0), "it has left the queue");
    held.reset();
    c.check_free();
}

void after_the_grant_it_changes_nothing(context& c) {
    auto locks = c.open();
    std::stop_source stop;
    auto held = c.mutex(locks).acquire(stop.get_token());
    stop.request_stop();
    BOOST_CHECK_NO_THROW(held.verify());
    BOOST_TEST(!held.lost().stop_requested());
}

void who_gives_up_does_not_hold_up_those_behind(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    auto held = std::make_optional(m.acquire());
    std::stop_source stop;
    auto first =
        in_background([&] { return throws<cancelled>([&] { (void)c.mutex(locks).acquire(stop.get_token()); }); });
    BOOST_TEST(c.waiting(locks, 1));
    std::optional<lock_handle> got;
    std::jthread second{[&] { got = c.mutex(locks).acquire(); }};
    BOOST_TEST(c.waiting(locks, 2));
    stop.request_stop();
    BOOST_TEST(first.get());
    BOOST_TEST(c.waiting(locks, 1));
    held.reset();
    second.join();
    BOOST_TEST(got.has_value());
}

// Release and cancellation at the same moment, thousands of times: the outcome is one of the two, and whatever it is,
// nobody holds the lock afterwards who does not know it.
void racing_the_grant(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    const int races = rounds(c.is_plain() ? 1000 : 200);
    int granted = 0;
    for (int i = 0; i < races; ++i) {
        auto held = std::make_optional(m.acquire());
        std::stop_source stop;
        std::atomic<int> ready{0};
        const auto start_together = [&] {
            ++ready;
            while (ready < 3) std::this_thread::yield();
            for (int spin = 0; spin < i % 64 * 20; ++spin) std::atomic_signal_fence(std::memory_order_seq_cst);
        };
        std::jthread releaser{[&] {
            start_together();
            held.reset();
        }};
        std::jthread stopper{[&] {
            start_together();
            stop.request_stop();
        }};
        ++ready;
        try {
            auto got = m.acquire(stop.get_token());
            ++granted;
            got.verify();
        } catch (const cancelled&) {
        }
        releaser.join();
        stopper.join();
    }
    BOOST_TEST_MESSAGE(granted << " of " << races << " were granted");
    BOOST_TEST(c.waiting(locks, 0));
    c.check_free();
}

}  // namespace

void add_cancelling_cases(case_list& cases) {
    cases.insert(cases.end(),
                 {{"cancelled_before_the_question", before_the_question},
                  {"cancelled_during_the_wait", during_the_wait},
                  {"cancelled_after_the_grant_changes_nothing", after_the_grant_it_changes_nothing},
                  {"who_gives_up_does_not_hold_up_those_behind", who_gives_up_does_not_hold_up_those_behind},
                  {"cancelling_races_the_grant", racing_the_grant}});
}

}  // namespace rowlock::conformance
