// Deadlines: never early, hardly late, and what the odd durations mean.
#include <boost/test/unit_test.hpp>

#include <limits>
#include <thread>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

template <class Wait>
steady::duration time_of(Wait wait) {
    const auto started = steady::now();
    BOOST_TEST(!wait());
    return steady::now() - started;
}

// A holder, and somebody else who asks.
struct contended {
    explicit contended(context& c) : locks{c.open()}, m{c.mutex(locks)}, held{m.acquire()} {
        // Long enough to be a wait, so what is opened for that is open by now, however long it takes.
        BOOST_TEST(!m.try_acquire_for(100ms));
    }
    provider locks;
    mutex_like m;
    std::optional<lock_handle> held;
};

void busy_is_an_empty_answer_at_once(context& c) {
    contended it{c};
    BOOST_TEST((time_of([&] { return it.m.try_acquire(); }) < slack));
}

void no_time_and_less_are_a_single_try(context& c) {
    contended it{c};
    BOOST_TEST((time_of([&] { return it.m.try_acquire_for(0s); }) < slack));
    BOOST_TEST((time_of([&] { return it.m.try_acquire_for(-1h); }) < slack));
    BOOST_TEST((time_of([&] { return it.m.try_acquire_for(steady::duration::min()); }) < slack));
    BOOST_TEST((time_of([&] { return it.m.try_acquire_for(std::chrono::hours::min()); }) < slack));
    BOOST_TEST((time_of([&] { return it.m.try_acquire_until(steady::time_point::min()); }) < slack));
    BOOST_TEST((time_of([&] { return it.m.try_acquire_until(steady::now() - 1h); }) < slack));
    it.held->release();
    BOOST_TEST(it.m.try_acquire_for(-1h).has_value(), "a try all the same");
    BOOST_TEST(it.m.try_acquire_until(steady::time_point::min()).has_value());
}

void a_wait_ends_on_time(context& c) {
    contended it{c};
    for (const auto wait : {1ms, 20ms, 70ms}) {
        const auto waited = time_of([&] { return it.m.try_acquire_for(wait); });
        BOOST_TEST((waited >= wait), "early by " << (wait - waited).count() << " ns");
        BOOST_TEST((waited < wait + slack), "late by " << (waited - wait).count() << " ns");
    }
    const auto at = steady::now() + 20ms;
    BOOST_TEST(!it.m.try_acquire_until(at));
    BOOST_TEST((steady::now() >= at));
}

void parts_of_a_millisecond_count(context& c) {
    contended it{c};
    const auto waited = time_of([&] { return it.m.try_acquire_for(300us); });
    BOOST_TEST((waited >= 300us));
    BOOST_TEST((waited < slack));
    BOOST_TEST(
        (time_of([&] { return it.m.try_acquire_for(std::chrono::duration<double, std::milli>{0.25}); }) >= 250us));
}

// A release ends a wait that would have lasted for ever.
template <class Wait>
void check_waits_for_the_release(context& c, Wait wait) {
    contended it{c};
    std::optional<lock_handle> got;
    std::jthread waiter{[&] { got = wait(it.m); }};
    BOOST_TEST(c.waiting(it.locks, 1));
    const auto released = steady::now();
    it.held->release();
    waiter.join();
    BOOST_TEST(got.has_value());
    BOOST_TEST((steady::now() - released < slack));
}

void waiting_without_limit(context& c) {
    check_waits_for_the_release(c, [](auto& m) { return std::optional{m.acquire()}; });
}
void the_longest_durations_are_without_limit(context& c) {
    check_waits_for_the_release(c, [](auto& m) { return m.try_acquire_for(steady::duration::max()); });
    check_waits_for_the_release(c, [](auto& m) { return m.try_acquire_for(std::chrono::hours::max()); });
    check_waits_for_the_release(c, [](auto& m) { return m.try_acquire_until(steady::time_point::max()); });
    check_waits_for_the_release(c, [](auto& m) {
        return m.try_acquire_for(std::chrono::duration<double>{std::numeric_limits<double>::infinity()});
    });
}

void who_timed_out_leaves_no_trace(context& c) {
    contended it{c};
    BOOST_TEST(!it.m.try_acquire_for(2ms));
    BOOST_TEST(c.waiting(it.locks, 0));
    it.held->release();
    BOOST_TEST(it.m.try_acquire().has_value(), "nobody waits in front");
}

// Who remembers that it was busy, and has no time to wait, must not take that for an answer.
void what_is_free_again_is_granted_however_short_the_wait(context& c) {
    contended it{c};
    it.held->release();
    for (const auto wait : {1ns, 100ns, 1'000ns, 3'000ns, 10'000ns, 30'000ns, 100'000ns, 300'000ns}) {
        auto held = it.m.acquire();
        BOOST_TEST(!it.m.try_acquire());
        held.release();
        BOOST_TEST(it.m.try_acquire_for(wait).has_value(), wait.count() << " ns");
    }
}

void a_timeout_races_the_grant(context& c) {
    auto locks = c.open();
    auto m = c.mutex(locks);
    int granted = 0;
    const int races = rounds(c.is_plain() ? 300 : 100);
    for (int i = 0; i < races; ++i) {
        auto held = std::make_optional(m.acquire());
        std::jthread releaser{[&, i] {
            const auto at = steady::now() + std::chrono::microseconds{i % 40 * 25};
            while (steady::now() < at) std::this_thread::yield();
            held.reset();
        }};
        if (auto got = m.try_acquire_for(500us)) {
            ++granted;
            BOOST_TEST(!m.try_acquire(), "granted means held");
        }
        releaser.join();
    }
    BOOST_TEST_MESSAGE(granted << " of " << races << " were granted");
    c.check_free();
}

}  // namespace

void add_waiting_cases(case_list& cases) {
    cases.insert(cases.end(), {{"busy_is_an_empty_answer_at_once", busy_is_an_empty_answer_at_once},
                               {"no_time_and_less_are_a_single_try", no_time_and_less_are_a_single_try},
                               {"a_wait_ends_on_time", a_wait_ends_on_time},
                               {"parts_of_a_millisecond_count", parts_of_a_millisecond_count},
                               {"waiting_without_limit", waiting_without_limit},
                               {"the_longest_durations_are_without_limit", the_longest_durations_are_without_limit},
                               {"who_timed_out_leaves_no_trace", who_timed_out_leaves_no_trace},
                               {"what_is_free_again_is_granted_however_short_the_wait",
                                what_is_free_again_is_granted_however_short_the_wait},
                               {"a_timeout_races_the_grant", a_timeout_races_the_grant}});
}

}  // namespace rowlock::conformance
