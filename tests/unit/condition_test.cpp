#include <boost/test/unit_test.hpp>

#include <mutex>
#include <stop_token>
#include <thread>

#include <condition.hpp>

using namespace std::chrono_literals;
using rowlock::deadline;
using rowlock::wait_bound;
using rowlock::detail::condition;

BOOST_AUTO_TEST_SUITE(on_condition)

// Two threads pass a turn to and fro, and say so outside the mutex: a word that is lost is a wait that ends with its
// bound.
BOOST_AUTO_TEST_CASE(no_notification_is_lost) {
    constexpr int passes = 20'000;
    std::mutex mutex;
    condition changed;
    int turn = 0;
    const auto play = [&](int me) {
        for (int i = 0; i < passes; ++i) {
            std::unique_lock lock{mutex};
            if (!changed.wait(lock, {.until = deadline::after(10s)}, [&] { return turn % 2 == me; })) return false;
            ++turn;
            lock.unlock();
            changed.notify_all();
        }
        return true;
    };
    bool other = false;
    std::jthread second{[&] { other = play(1); }};
    BOOST_TEST(play(0));
    second.join();
    BOOST_TEST(other);
    BOOST_TEST(turn == 2 * passes);
}

BOOST_AUTO_TEST_CASE(a_wait_ends_with_its_bound) {
    std::mutex mutex;
    condition never;
    std::unique_lock lock{mutex};
    const auto no = [] { return false; };
    BOOST_TEST(!never.wait(lock, {.until = deadline::after(5ms)}, no));
    std::stop_source stop;
    std::jthread stopper{[&] { stop.request_stop(); }};
    BOOST_TEST(!never.wait(lock, wait_bound{.stop = stop.get_token()}, no));
}

BOOST_AUTO_TEST_SUITE_END()
