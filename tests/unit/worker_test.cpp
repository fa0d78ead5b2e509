#include <boost/test/unit_test.hpp>

#include <atomic>
#include <system_error>
#include <thread>

#include <pthread.h>
#include <sys/resource.h>

#include <worker.hpp>

#include <support/eventually.hpp>
#include <support/gate.hpp>

using namespace std::chrono_literals;
using rowlock::boot_clock;
using rowlock::detail::worker;
using rowlock::test::eventually;
using rowlock::test::gate;

namespace {

constexpr auto when_asked = boot_clock::time_point::max();

}  // namespace

BOOST_AUTO_TEST_CASE(nothing_runs_unless_asked) {
    std::atomic<int> runs{0};
    {
        worker w{[&] {
            ++runs;
            return when_asked;
        }};
        w.stop();
    }
    BOOST_TEST(runs == 0);
}

BOOST_AUTO_TEST_CASE(it_runs_when_asked_and_again_when_asked_again) {
    std::atomic<int> runs{0};
    worker w{[&] {
        ++runs;
        return when_asked;
    }};
    for (int i = 1; i <= 3; ++i) {
        w.run_now();
        BOOST_TEST(eventually([&] { return runs >= i; }));
    }
}

BOOST_AUTO_TEST_CASE(it_comes_back_when_its_work_said) {
    std::atomic<int> runs{0};
    worker w{[&] { return ++runs < 5 ? boot_clock::now() + 1ms : when_asked; }};
    w.run_now();
    BOOST_TEST(eventually([&] { return runs == 5; }));
}

BOOST_AUTO_TEST_CASE(not_before_its_time) {
    std::atomic<boot_clock::time_point> ran{};
    worker w{[&] {
        ran = boot_clock::now();
        return when_asked;
    }};
    const auto at = boot_clock::now() + 20ms;
    w.run_by(at);
    BOOST_TEST(eventually([&] { return ran.load() != boot_clock::time_point{}; }));
    BOOST_TEST((ran.load() >= at));
}

BOOST_AUTO_TEST_CASE(an_earlier_request_brings_the_work_forward) {
    std::atomic<int> runs{0};
    worker w{[&] {
        ++runs;
        return when_asked;
    }};
    w.run_by(boot_clock::now() + 1h);
    w.run_now();
    BOOST_TEST(eventually([&] { return runs >= 1; }));
}

BOOST_AUTO_TEST_CASE(a_request_during_the_work_is_not_lost) {
    gate first;
    std::atomic<int> runs{0};
    worker w{[&] {
        if (++runs == 1) first.pass();
        return when_asked;
    }};
    w.run_now();
    BOOST_TEST(first.reached_by());
    w.run_now();
    first.open();
    BOOST_TEST(eventually([&] { return runs == 2; }));
}

BOOST_AUTO_TEST_CASE(stop_waits_for_the_work_and_nothing_runs_after_it) {
    gate inside;
    std::atomic<int> runs{0};
    worker w{[&] {
        ++runs;
        inside.pass();
        return boot_clock::time_point::min();
    }};
    w.run_now();
    BOOST_TEST(inside.reached_by());
    inside.open();
    w.stop();
    const int after = runs;
    w.run_now();
    BOOST_TEST(runs == after);
}

BOOST_AUTO_TEST_CASE(its_thread_is_known_and_takes_no_signals) {
    std::atomic<bool> known{false}, blocked{false}, done{false};
    worker w{[&] {
        known = worker::runs_this_thread();
        sigset_t mask;
        pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        blocked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGINT) == 1;
        done = true;
        return when_asked;
    }};
    w.run_now();
    BOOST_TEST(eventually([&] { return done.load(); }));
    BOOST_TEST(known.load());
    BOOST_TEST(blocked.load());
    BOOST_TEST(!worker::runs_this_thread());

    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    BOOST_TEST(sigismember(&mask, SIGTERM) == 0, "the caller's own signal mask is as before");
}

BOOST_AUTO_TEST_CASE(a_start_that_failed_is_tried_again) {
    rlimit before{};
    BOOST_REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    std::atomic<int> runs{0};
    worker w{[&] {
        ++runs;
        return when_asked;
    }};
    const rlimit none{0, before.rlim_max};  // no descriptor is left for its timer
    BOOST_REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    BOOST_CHECK_THROW(w.run_now(), std::system_error);
    BOOST_REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
    w.run_now();
    BOOST_TEST(eventually([&] { return runs >= 1; }));
}
