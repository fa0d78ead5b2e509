#include <boost/test/unit_test.hpp>

#include <future>

#include <signal.h>

#include <side_jobs.hpp>

#include <support/gate.hpp>

using rowlock::detail::side_jobs;
using rowlock::test::gate;

BOOST_AUTO_TEST_CASE(stopping_tells_them_and_waits) {
    gate begun;
    bool ended = false;
    side_jobs jobs;
    jobs.start([&](const std::stop_token& stop) {
        std::promise<void> told;
        const std::stop_callback on_stop{stop, [&] { told.set_value(); }};
        (void)begun.pass();
        told.get_future().wait();
        ended = true;
    });
    begun.open();
    BOOST_TEST(begun.reached_by());
    jobs.stop();
    BOOST_TEST(ended);
}

BOOST_AUTO_TEST_CASE(they_run_beside_each_other) {
    gate both;
    side_jobs jobs;
    for (int i = 0; i < 2; ++i) jobs.start([&](const std::stop_token&) { (void)both.pass(); });
    BOOST_TEST(both.reached_by(2));
    both.open();
}

BOOST_AUTO_TEST_CASE(signals_are_for_the_program) {
    std::promise<bool> blocked;
    side_jobs jobs;
    jobs.start([&](const std::stop_token&) {
        sigset_t here;
        pthread_sigmask(SIG_SETMASK, nullptr, &here);
        blocked.set_value(sigismember(&here, SIGTERM) == 1 && sigismember(&here, SIGINT) == 1);
    });
    BOOST_TEST(blocked.get_future().get());
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, nullptr, &mine);
    BOOST_TEST(sigismember(&mine, SIGTERM) == 0, "the caller's mask is as it was");
}
