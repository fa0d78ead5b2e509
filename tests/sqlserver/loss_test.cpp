// Who hears when that an applock is lost, on the stand-in and, where there is one, on a server that speaks TDS.
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <future>
#include <memory>
#include <random>
#include <thread>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>
#include <rowlock/sqlserver.hpp>

#include <applock_pulse.hpp>
#include <applock_session.hpp>
#include <no_answer.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_server.hpp>
#include <support/relay.hpp>
#include <support/slack.hpp>
#include <support/sqlserver_connection.hpp>

#include "through_relay.hpp"

namespace {

using namespace std::chrono_literals;
using rowlock::test::slack;
using steady = std::chrono::steady_clock;

constexpr auto interval = rowlock::sqlserver::applock_pulse::interval;
constexpr auto operation_timeout = 1s;

rowlock::deadline soon() { return rowlock::deadline::after(30s); }

// When the holder is told, as it is told.
steady::time_point heard_at(const rowlock::lock_handle& held, std::chrono::seconds patience = 30s) {
    std::promise<steady::time_point> told;
    auto at = told.get_future();
    const std::stop_callback on_loss{held.lost(), [&] { told.set_value(steady::now()); }};
    BOOST_REQUIRE((at.wait_for(patience) == std::future_status::ready));
    return at.get();
}

struct stand_in {
    rowlock::test::postgres_server server;
    std::string database = server.new_database();
    std::unique_ptr<rowlock::test::relay> between = std::make_unique<rowlock::test::relay>(server.socket());

    stand_in() { server.run_file(database, ROWLOCK_TEST_APPLOCK_STAND_IN); }
    [[nodiscard]] std::string connection_string() const {
        return "DRIVER={PostgreSQL Unicode};SERVER=127.0.0.1;PORT=" + std::to_string(between->port()) +
               ";DATABASE=" + database + ";UID=postgres;SSLmode=disable;";
    }
    void kill_sessions() const {
        (void)server.sql(database,
                         "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                         "WHERE datname = current_database() AND pid <> pg_backend_pid()");
    }
};

struct real : rowlock::test::through_relay {
    static std::string a_name() { return "loss test " + std::to_string(std::random_device{}()); }
};

boost::test_tools::assertion_result is_there(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result yes{rowlock::test::sqlserver().has_value()};
    yes.message() << rowlock::test::no_sqlserver;
    return yes;
}

// An idle session of `where` is cut off: its holder hears, although the driver itself may not come back.
template <class Where>
void a_silent_network_is_heard(const Where& where, const std::string& name) {
    auto locks = std::make_optional(
        rowlock::sqlserver::applock(where.connection_string(), {.operation_timeout = operation_timeout}));
    auto held = std::make_optional(locks->acquire(name));
    const auto upgrade = std::make_optional(rowlock::upgrade_mutex{*locks, name + " 2"}.acquire_upgrade());
    held->verify();
    where.between->fall_silent();
    const auto cut = steady::now();
    const auto at = heard_at(*held);
    BOOST_TEST_MESSAGE("heard after " << (at - cut) / 1ms << " ms");
    BOOST_TEST((at - cut < interval + operation_timeout + slack));
    BOOST_TEST((held->lost_reason() == rowlock::loss_reason::connection));
    BOOST_TEST(!held->lost_detail().empty());
    BOOST_TEST((heard_at(*upgrade) - cut < interval + operation_timeout + slack), "each session is asked by itself");
    const auto ends = steady::now();
    held.reset();
    const_cast<std::optional<rowlock::lock_handle>&>(upgrade).reset();
    locks.reset();
    BOOST_TEST((steady::now() - ends < 2 * operation_timeout + slack), "the end of a provider is bounded, too");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(standing_in)

BOOST_FIXTURE_TEST_CASE(a_killed_session_is_heard_with_the_words_of_the_server, stand_in) {
    auto locks = rowlock::sqlserver::applock(connection_string());
    const auto held = locks.acquire("n");
    kill_sessions();
    const auto killed = steady::now();
    const auto at = heard_at(held);
    BOOST_TEST_MESSAGE("heard after " << (at - killed) / 1ms << " ms");
    BOOST_TEST((at - killed < interval + slack));
    BOOST_TEST((held.lost_reason() == rowlock::loss_reason::connection));
    BOOST_TEST(held.lost_detail().find("terminating connection") != std::string::npos, held.lost_detail());
    BOOST_TEST(locks.try_acquire("n").has_value(), "with a new session");
}

BOOST_FIXTURE_TEST_CASE(control_nobody_hears_who_does_not_ask, stand_in) {
    const rowlock::odbc::environment environment{"test"};
    rowlock::odbc::canceler canceler;
    rowlock::sqlserver::applock_session s{environment, canceler, connection_string(), "test", soon()};
    BOOST_TEST(s.try_get("n", "Exclusive", soon()));
    kill_sessions();
    std::this_thread::sleep_for(interval + slack);
    BOOST_TEST(s.usable());
    BOOST_CHECK_THROW(s.ask(soon()), rowlock::detail::no_answer);
    BOOST_TEST(!s.usable());
}

BOOST_FIXTURE_TEST_CASE(a_restarted_server_is_heard, stand_in) {
    auto locks = rowlock::sqlserver::applock(connection_string());
    const auto held = locks.acquire("n");
    server.restart("immediate");
    const auto restarted = steady::now();
    BOOST_TEST((heard_at(held) - restarted < interval + slack));
    BOOST_TEST(locks.try_acquire("n").has_value());
}

BOOST_FIXTURE_TEST_CASE(a_silent_network_is_heard_though_the_driver_hangs, stand_in) {
    a_silent_network_is_heard(*this, "n");
}

BOOST_FIXTURE_TEST_CASE(nobody_is_asked_while_nothing_is_held, stand_in) {
    auto locks = rowlock::sqlserver::applock(connection_string());
    const auto last_question = [&] {
        return server.sql(database,
                          "SELECT max(query_start) FROM pg_stat_activity WHERE datname = current_database() "
                          "AND pid <> pg_backend_pid()");
    };
    auto held = std::make_optional(locks.acquire("n"));
    const auto taken = last_question();
    BOOST_TEST(rowlock::test::eventually([&] { return last_question() != taken; }), "it is while something is");
    held.reset();
    std::this_thread::sleep_for(interval + slack);  // one more may have been planned
    const auto released = last_question();
    std::this_thread::sleep_for(interval + slack);
    BOOST_TEST(last_question() == released);
}

BOOST_FIXTURE_TEST_CASE(a_wait_on_a_silent_network_ends, stand_in) {
    auto locks = rowlock::sqlserver::applock(connection_string(), {.operation_timeout = operation_timeout});
    auto others = rowlock::sqlserver::applock(server.odbc_connection_string(database));
    const auto held = others.acquire("n");
    std::stop_source stop;
    auto waiter = rowlock::test::in_background(
        [&] { return rowlock::test::throws<rowlock::cancelled>([&] { (void)locks.acquire("n", stop.get_token()); }); });
    BOOST_TEST(rowlock::test::eventually([&] {
        return server.sql(database, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") == "1";
    }));
    between->fall_silent();
    const auto stopped = steady::now();
    stop.request_stop();
    BOOST_TEST(waiter.get());
    BOOST_TEST((steady::now() - stopped < 2 * operation_timeout + slack));
}

// It could have the lock by then, and would be given it too late.
BOOST_FIXTURE_TEST_CASE(whose_time_was_over_before_he_was_connected_does_not_ask, stand_in) {
    auto locks = rowlock::sqlserver::applock(connection_string());
    auto others = rowlock::sqlserver::applock(server.odbc_connection_string(database));
    auto held = std::make_optional(others.acquire("n"));
    const auto other = locks.acquire("m");  // so that it needs another connection to wait in
    between->keep_new_ones_waiting();
    std::optional<rowlock::lock_handle> got;
    auto waiter = rowlock::test::in_background([&] {
        got = locks.try_acquire("n", 200ms);
        return true;
    });
    BOOST_TEST(rowlock::test::eventually([&] {
        try {
            (void)locks.status("n");
        } catch (const rowlock::unsupported&) {  // nobody waits yet: the stand-in does not tell of others
            return false;
        }
        return true;
    }));
    held.reset();
    BOOST_TEST(waiter.get());
    BOOST_TEST(!got);
    BOOST_TEST(locks.try_acquire("n").has_value(), "who asks in time gets it");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(is_there))
BOOST_AUTO_TEST_SUITE(tds)

BOOST_FIXTURE_TEST_CASE(a_silent_network_is_heard_though_the_driver_hangs, real) {
    a_silent_network_is_heard(*this, a_name());
}

BOOST_FIXTURE_TEST_CASE(a_connection_that_ends_is_heard, real) {
    auto locks = rowlock::sqlserver::applock(connection_string());
    const auto held = locks.acquire(a_name());
    between->close();
    const auto closed = steady::now();
    BOOST_TEST((heard_at(held) - closed < interval + slack));
    between->open();
    BOOST_TEST(locks.try_acquire(a_name()).has_value());
}

BOOST_FIXTURE_TEST_CASE(no_call_outlasts_its_deadline_by_much_on_a_silent_network, real) {
    auto locks = rowlock::sqlserver::applock(connection_string(), {.operation_timeout = operation_timeout});
    auto held = locks.acquire(a_name());
    between->fall_silent();
    const auto cut = steady::now();
    BOOST_CHECK_THROW((void)locks.try_acquire(a_name()), rowlock::connection_error);
    BOOST_TEST_MESSAGE("given up after " << (steady::now() - cut) / 1ms << " ms");
    BOOST_TEST((steady::now() - cut < 3 * operation_timeout + slack));
    BOOST_TEST((heard_at(held) - cut < interval + 3 * operation_timeout + slack));
}

BOOST_AUTO_TEST_SUITE_END()
