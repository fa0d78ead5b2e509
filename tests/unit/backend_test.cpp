// What a back end gets that supplies the two functions only.
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <thread>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>

#include <support/slack.hpp>

using namespace std::chrono_literals;
using rowlock::deadline;
using steady = std::chrono::steady_clock;

namespace {

struct two_functions final : rowlock::backend {
    std::optional<rowlock::grant> do_try_acquire(const rowlock::lock_request&, deadline) override {
        ++tries;
        return taken.exchange(true) ? std::nullopt : std::optional{rowlock::grant{}};
    }
    void do_release(const rowlock::lock_request&, deadline) override { taken = false; }

    std::atomic<bool> taken{false};
    std::atomic<int> tries{0};
};

const rowlock::lock_request nobody{};

}  // namespace

BOOST_AUTO_TEST_CASE(two_functions_make_a_mutex) {
    rowlock::provider locks{std::make_unique<two_functions>()};
    BOOST_TEST(locks.traits().name == "custom");
    rowlock::mutex m{locks, "m"};
    auto held = m.try_acquire();
    BOOST_REQUIRE(held.has_value());
    BOOST_TEST(!held->token());
    BOOST_TEST((held->valid_until() == steady::time_point::max()));
    BOOST_TEST(!m.try_acquire());
    BOOST_TEST(!m.try_acquire_for(5ms));
    std::jthread waiter{[&] { auto h = m.acquire(); }};
    BOOST_CHECK_NO_THROW(held->verify());
    held->release();
    waiter.join();
    BOOST_TEST(m.try_acquire().has_value());
}

BOOST_AUTO_TEST_CASE(what_is_not_there_is_refused) {
    rowlock::provider locks{std::make_unique<two_functions>()};
    BOOST_TEST(locks.supports(rowlock::primitive::mutex));
    BOOST_TEST(!locks.supports(rowlock::primitive::shared_mutex));
    BOOST_TEST(!locks.supports(rowlock::primitive::upgrade_mutex));
    BOOST_TEST(!locks.supports(rowlock::primitive::semaphore));
    BOOST_CHECK_THROW((rowlock::shared_mutex{locks, "n"}), rowlock::unsupported);
    BOOST_CHECK_THROW((rowlock::upgrade_mutex{locks, "n"}), rowlock::unsupported);
    BOOST_CHECK_THROW((rowlock::semaphore{locks, "n", 2}), rowlock::unsupported);
    BOOST_CHECK_THROW((void)locks.status(), rowlock::unsupported);
    BOOST_CHECK_THROW(locks.break_lock("n", "because"), rowlock::unsupported);
    BOOST_CHECK_THROW(locks.purge(1s), rowlock::unsupported);
}

BOOST_AUTO_TEST_CASE(default_renewal_answers_for_every_lock) {
    two_functions b;
    const rowlock::lock_request* all[] = {&nobody, &nobody, &nobody};
    const auto answers = b.renew(all, deadline::after(1s));
    BOOST_REQUIRE(answers.size() == 3U);
    for (const auto& a : answers) {
        BOOST_TEST(a.held);
        BOOST_TEST((a.expires_at == rowlock::boot_clock::time_point::max()));
    }
    BOOST_TEST(b.verify(nobody, deadline::after(1s)).held);
    BOOST_TEST(!b.abandon(nobody, deadline::after(1s)));
}

BOOST_AUTO_TEST_CASE(default_waiting_tries_rarer_and_rarer) {
    two_functions b;
    b.taken = true;
    const rowlock::wait_bound w{deadline::after(1s)};
    const auto started = steady::now();
    while (!w.over()) BOOST_TEST(!b.await({.id = {1, 1}}, w, 1s));
    BOOST_TEST((steady::now() - started < 1s + rowlock::test::slack));
    // 1 ms, growing by half to 100 ms: some 20 tries. Without growth it would be a thousand.
    BOOST_TEST(b.tries >= 5);
    BOOST_TEST(b.tries <= 60);
}

BOOST_AUTO_TEST_CASE(default_waiting_starts_anew_for_another_lock) {
    two_functions b;
    b.taken = true;
    const rowlock::wait_bound first{deadline::after(500ms)};
    while (!first.over()) (void)b.await({.id = {1, 1}}, first, 1s);
    const rowlock::wait_bound never{deadline::never()};
    const auto started = steady::now();
    (void)b.await({.id = {1, 2}}, never, 1s);
    BOOST_TEST((steady::now() - started < 50ms * rowlock::test::slowness));
}

BOOST_AUTO_TEST_CASE(default_waiting_ends_soon_after_a_stop) {
    two_functions b;
    b.taken = true;
    std::stop_source stop;
    const rowlock::wait_bound w{deadline::never(), stop.get_token()};
    std::jthread stopper{[&] {
        while (b.tries < 8) std::this_thread::yield();
        stop.request_stop();
    }};
    while (!w.over()) (void)b.await({.id = {2, 1}}, w, 1s);
    BOOST_TEST(b.tries >= 8);
}
