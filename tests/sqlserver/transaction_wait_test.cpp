// Waits for an applock in the caller's own transaction that end in another way than by their time.
#include <boost/test/unit_test.hpp>

#include <stop_token>
#include <thread>

#include <rowlock/error.hpp>

#include <support/background.hpp>
#include <support/slack.hpp>

#include "caller_fixture.hpp"

using namespace std::chrono_literals;
using rowlock::test::in_background;
using rowlock::test::odbc_connection;
using rowlock::test::slack;
using rowlock::test::throws;
using steady = std::chrono::steady_clock;
namespace sqlserver = rowlock::sqlserver;
using fixture = rowlock::test::caller_fixture;

namespace {

constexpr auto begin = "BEGIN TRANSACTION";

}  // namespace

BOOST_FIXTURE_TEST_SUITE(transaction_wait, fixture, *boost::unit_test::precondition(fixture::reachable))

BOOST_AUTO_TEST_CASE(a_deadlock_is_told_apart) {
    (void)mine.sql(begin);
    (void)theirs.sql(begin);
    sqlserver::lock(mine.handle(), n);
    sqlserver::lock(theirs.handle(), m);
    // Both may wait; the server ends one of them, which rolls back.
    const auto take = [&](odbc_connection& c, const std::string& name) {
        const bool ended = throws<rowlock::deadlock_detected>([&] { sqlserver::lock(c.handle(), name); });
        check_usable(c);
        (void)c.sql(ended ? "ROLLBACK" : "COMMIT");
        return ended;
    };
    auto first = in_background([&] { return take(mine, m); });
    const bool second_ended = take(theirs, n);
    BOOST_TEST(first.get() != second_ended);
    BOOST_TEST(proofs() == "1");
    BOOST_TEST(free(n));
    BOOST_TEST(free(m));
}

BOOST_AUTO_TEST_CASE(stop_ends_the_wait_and_nothing_else) {
    (void)theirs.sql(begin);
    sqlserver::lock(theirs.handle(), n);
    for (int i = 0; i < 5; ++i) {
        std::stop_source stop;
        auto outcome = in_background([&] {
            (void)mine.sql(begin);
            check_usable(mine);
            const bool cancelled =
                throws<rowlock::cancelled>([&] { sqlserver::lock(mine.handle(), n, stop.get_token()); });
            check_usable(mine);
            (void)mine.sql("COMMIT");
            return cancelled;
        });
        BOOST_TEST(waiting());
        const auto before = steady::now();
        stop.request_stop();
        BOOST_TEST(outcome.get());
        BOOST_TEST((steady::now() - before < slack));
    }
    std::stop_source stopped;
    stopped.request_stop();
    BOOST_CHECK_THROW(sqlserver::lock(mine.handle(), n, stopped.get_token()), rowlock::cancelled);
    (void)theirs.sql("COMMIT");
    BOOST_TEST(free(n));
    BOOST_TEST(proofs() == "10");
}

// A stop at the very moment of the grant: whatever comes out, the transaction is whole, and no lock outlives it.
BOOST_AUTO_TEST_CASE(a_stop_that_races_with_the_grant) {
    int granted = 0, cancelled = 0;
    for (int i = 0; i < 60; ++i) {
        (void)theirs.sql(begin);
        sqlserver::lock(theirs.handle(), n);
        std::stop_source stop;
        auto outcome = in_background([&] {
            (void)mine.sql(begin);
            const bool ended = throws<rowlock::cancelled>([&] { sqlserver::lock(mine.handle(), n, stop.get_token()); });
            const bool is_free = free(n);
            check_usable(mine);
            (void)mine.sql("COMMIT");
            return std::pair{ended, is_free};
        });
        BOOST_TEST(waiting());
        auto stopper = in_background([&] { stop.request_stop(); });
        std::this_thread::sleep_for(std::chrono::microseconds{250 * (i % 40)});
        (void)theirs.sql("COMMIT");
        stopper.get();
        const auto [ended, is_free] = outcome.get();
        BOOST_TEST((ended || !is_free), "granted, but not held");
        ++(ended ? cancelled : granted);
    }
    BOOST_TEST_MESSAGE(granted << " granted, " << cancelled << " cancelled");
    BOOST_TEST(free(n));
    BOOST_TEST(proofs() == "60");
}

BOOST_AUTO_TEST_CASE(a_killed_session_ends_the_wait) {
    (void)theirs.sql(begin);
    sqlserver::lock(theirs.handle(), n);
    auto outcome = in_background([&] {
        (void)mine.sql(begin);
        return throws<rowlock::connection_error>([&] { sqlserver::lock(mine.handle(), n); });
    });
    BOOST_TEST(waiting());
    kill(my_session);
    BOOST_TEST(outcome.get());
    (void)theirs.sql("COMMIT");
    BOOST_TEST(free(n));
}

BOOST_AUTO_TEST_SUITE_END()
