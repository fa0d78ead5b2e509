// Waits for a lock in the caller's own transaction that end in another way than by their time.
#include <boost/test/unit_test.hpp>

#include <functional>
#include <pqxx/pqxx>

#include <rowlock/error.hpp>
#include <rowlock/postgres.hpp>
#include <rowlock/rowlock.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_server.hpp>
#include <support/slack.hpp>

#include "transaction_fixture.hpp"

using namespace std::chrono_literals;
using rowlock::test::check_usable;
using rowlock::test::in_background;
using rowlock::test::slack;
using rowlock::test::throws;
using steady = std::chrono::steady_clock;
namespace postgres = rowlock::postgres;

BOOST_FIXTURE_TEST_SUITE(transaction_wait, rowlock::test::transaction_fixture)

BOOST_AUTO_TEST_CASE(a_deadlock_is_told_apart_and_costs_no_transaction) {
    pqxx::work a{mine}, b{theirs};
    check_usable(a);
    postgres::lock(a, "a");
    postgres::lock(b, "b");
    // Both may wait; PostgreSQL ends one of them, after deadlock_timeout.
    const auto take = [](pqxx::work& tx, const char* name) {
        return throws<rowlock::deadlock_detected>([&] { postgres::lock(tx, name); });
    };
    auto first = in_background([&] {
        const bool ended = take(a, "b");
        check_usable(a);
        if (ended) a.commit();
        return ended;
    });
    const bool second_ended = take(b, "a");
    b.commit();
    const bool first_ended = first.get();
    BOOST_TEST(first_ended != second_ended);
}

BOOST_AUTO_TEST_CASE(stop_ends_the_wait_and_nothing_else) {
    pqxx::work holder{theirs};
    postgres::lock(holder, "n");
    for (int i = 0; i < 5; ++i) {
        std::stop_source stop;
        auto outcome = in_background([&] {
            pqxx::work tx{mine};
            check_usable(tx);
            const bool cancelled = throws<rowlock::cancelled>([&] { postgres::lock(tx, "n", stop.get_token()); });
            check_usable(tx);
            tx.commit();
            return cancelled;
        });
        BOOST_TEST(waiting());
        const auto before = steady::now();
        stop.request_stop();
        BOOST_TEST(outcome.get());
        BOOST_TEST((steady::now() - before < slack));
    }
    BOOST_TEST(locks() == "1|0");
    BOOST_TEST(sql("SELECT count(*) FROM proof") == "10");
    BOOST_TEST(server.new_complaints() == "");
}

// A stop at the very moment of the grant: whatever comes out, the transaction is whole, and no lock outlives it.
BOOST_AUTO_TEST_CASE(a_stop_that_races_with_the_grant) {
    int granted = 0, cancelled = 0;
    {
        pqxx::work tx{mine};
        check_usable(tx);
        tx.commit();
    }
    for (int i = 0; i < 60; ++i) {
        auto holder = std::make_optional<pqxx::work>(theirs);
        postgres::lock(*holder, "n");
        std::stop_source stop;
        auto outcome = in_background([&] {
            pqxx::work tx{mine};
            const bool ended = throws<rowlock::cancelled>([&] { postgres::lock(tx, "n", stop.get_token()); });
            check_usable(tx);
            tx.commit();
            return ended;
        });
        BOOST_TEST(waiting());
        auto stopper = in_background([&] { stop.request_stop(); });
        std::this_thread::sleep_for(std::chrono::microseconds{250 * (i % 40)});
        holder.reset();
        stopper.get();
        ++(outcome.get() ? cancelled : granted);
    }
    BOOST_TEST_MESSAGE(granted << " granted, " << cancelled << " cancelled");
    BOOST_TEST(locks() == "0|0");
    BOOST_TEST(sql("SELECT count(*) FROM proof") == "61");
}

BOOST_AUTO_TEST_CASE(somebody_elses_cancellation_is_told) {
    pqxx::work holder{theirs};
    postgres::lock(holder, "n");
    auto outcome = in_background([&] {
        pqxx::work tx{mine};
        const bool cancelled = throws<rowlock::cancelled>([&] { postgres::lock(tx, "n"); });
        check_usable(tx);
        return cancelled;
    });
    BOOST_TEST(waiting());
    (void)sql("SELECT pg_cancel_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
    BOOST_TEST(outcome.get());
}

BOOST_AUTO_TEST_CASE(a_killed_session_ends_the_wait) {
    pqxx::work holder{theirs};
    postgres::lock(holder, "n");
    auto outcome = in_background([&] {
        pqxx::work tx{mine};
        return throws<rowlock::connection_error>([&] { postgres::lock(tx, "n"); });
    });
    BOOST_TEST(waiting());
    (void)sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
    BOOST_TEST(outcome.get());
}

BOOST_AUTO_TEST_SUITE_END()
