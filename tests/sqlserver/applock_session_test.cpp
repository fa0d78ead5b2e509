// One session, on a stand-in for SQL Server: PostgreSQL through psqlODBC, with functions that answer the contract of
// applocks. Shows how return codes, cancellation and lost connections are dealt with, and nothing about SQL Server.
#include <boost/test/unit_test.hpp>

#include <array>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <rowlock/error.hpp>

#include <applock_session.hpp>
#include <no_answer.hpp>

#include <support/eventually.hpp>
#include <support/postgres_server.hpp>
#include <support/slack.hpp>

namespace rowlock {
namespace {

using namespace std::chrono_literals;
using sqlserver::applock_session;
namespace mode = sqlserver::applock_mode;
using steady = std::chrono::steady_clock;

deadline soon() { return deadline::after(30s); }

struct server {
    server() : database{it.new_database()} { it.run_file(database, ROWLOCK_TEST_APPLOCK_STAND_IN); }

    applock_session connect() { return {environment, canceler, it.odbc_connection_string(database), "test", soon()}; }
    std::string sql(const std::string& text) const { return it.sql(database, text); }
    [[nodiscard]] bool somebody_waits() const {
        return test::eventually([&] {
            return sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                       "AND wait_event_type = 'Lock'") == "1";
        });
    }
    [[nodiscard]] std::string locks() const {
        return sql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())");
    }

    test::postgres_server& it = test::postgres_server::shared();
    const std::string database;
    const odbc::environment environment{"test"};
    odbc::canceler canceler;
};

BOOST_FIXTURE_TEST_CASE(free_and_busy, server) {
    auto one = connect(), two = connect();
    BOOST_TEST(one.try_get("n", mode::exclusive, soon()));
    BOOST_TEST(one.mode_of("n", soon()) == "Exclusive");
    BOOST_TEST(two.mode_of("n", soon()) == "");
    BOOST_TEST(!two.try_get("n", mode::exclusive, soon()));
    BOOST_TEST(two.try_get("N", mode::exclusive, soon()));
    one.release("n", soon());
    BOOST_TEST(two.try_get("n", mode::exclusive, soon()));
}

// How a wait hears that its connection is dead.
BOOST_FIXTURE_TEST_CASE(a_long_wait_asks_again_and_goes_on, server) {
    auto one = connect(), two = connect();
    BOOST_REQUIRE(one.try_get("n", mode::exclusive, soon()));
    bool got = false;
    std::jthread waiter{[&] { got = two.get("n", mode::exclusive, std::nullopt, deadline::never()); }};
    BOOST_REQUIRE(somebody_waits());
    const auto since = [&] {
        return sql(
            "SELECT query_start FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock'");
    };
    const auto first = since();
    std::this_thread::sleep_for(applock_session::longest_wait + 1s);
    BOOST_TEST(somebody_waits());
    BOOST_TEST(since() != first);
    one.release("n", soon());
    waiter.join();
    BOOST_TEST(got);
}

BOOST_FIXTURE_TEST_CASE(modes_go_together_as_the_manual_says, server) {
    auto one = connect(), two = connect();
    const std::string_view all[] = {mode::shared, mode::update, mode::intent_exclusive, mode::exclusive};
    const bool together[4][4] = {{true, true, false, false},
                                 {true, false, false, false},
                                 {false, false, true, false},
                                 {false, false, false, false}};
    for (int i = 0; i < 4; ++i)
        for (int k = 0; k < 4; ++k) {
            BOOST_REQUIRE(one.try_get("n", all[i], soon()));
            const bool got = two.try_get("n", all[k], soon());
            BOOST_TEST(got == together[i][k], all[i] << " and " << all[k]);
            if (got) two.release("n", soon());
            one.release("n", soon());
        }
    BOOST_TEST(locks() == "0");
}

BOOST_FIXTURE_TEST_CASE(a_wait_ends_on_time, server) {
    auto one = connect(), two = connect();
    BOOST_TEST(one.try_get("n", mode::exclusive, soon()));
    const auto started = steady::now();
    BOOST_TEST(!two.get("n", mode::exclusive, 50ms, soon()));
    BOOST_TEST((steady::now() - started >= 50ms));
    BOOST_TEST((steady::now() - started < 50ms + test::slack));
    one.release("n", soon());
    BOOST_TEST(locks() == "0");
}

BOOST_FIXTURE_TEST_CASE(a_canceled_wait_leaves_the_session_usable_and_nothing_held, server) {
    auto one = connect(), two = connect();
    BOOST_TEST(one.try_get("n", mode::exclusive, soon()));
    for (int i = 0; i < 20; ++i) {
        std::stop_source stop;
        std::jthread stopper{[&] {
            if (i > 0 || somebody_waits()) stop.request_stop();  // afterwards also before it waits
        }};
        BOOST_TEST(!two.get("n", mode::exclusive, std::nullopt, deadline::never(), stop.get_token()));
    }
    BOOST_TEST(two.usable());
    one.release("n", soon());
    BOOST_TEST(locks() == "0");
    BOOST_TEST(two.try_get("n", mode::exclusive, soon()));
}

BOOST_FIXTURE_TEST_CASE(a_deadline_ends_what_the_server_does_not, server) {
    auto one = connect(), two = connect();
    BOOST_TEST(one.try_get("n", mode::exclusive, soon()));
    const auto started = steady::now();
    BOOST_TEST(!two.get("n", mode::exclusive, std::nullopt, deadline::after(70ms)));
    BOOST_TEST((steady::now() - started >= 70ms));
    BOOST_TEST((steady::now() - started < 70ms + test::slack));
    BOOST_TEST(two.usable());
}

BOOST_FIXTURE_TEST_CASE(a_release_that_says_nothing_is_looked_into, server) {
    auto one = connect();
    BOOST_TEST(one.try_get("n", mode::exclusive, soon()));
    const auto answer_nothing = [&](const std::string& after) {
        (void)sql(
            "CREATE OR REPLACE FUNCTION sp_releaseapplock(resource text, lockowner text) RETURNS integer "
            "LANGUAGE plpgsql AS $$ BEGIN " +
            after + " RETURN NULL; END $$");
    };
    answer_nothing("");
    BOOST_CHECK_THROW(one.release("n", soon()), connection_error);
    BOOST_TEST(one.usable());
    answer_nothing("PERFORM pg_advisory_unlock_all();");
    BOOST_CHECK_NO_THROW(one.release("n", soon()));
    BOOST_TEST(one.mode_of("n", soon()) == "");
}

// What is left of the cancellation of an earlier call.
BOOST_FIXTURE_TEST_CASE(a_cancellation_that_comes_late_costs_no_session, server) {
    auto one = connect();
    BOOST_TEST(one.try_get("n", mode::exclusive, soon()));
    const auto cancel = [&](const std::string& which) {
        (void)sql(
            "CREATE OR REPLACE FUNCTION applock_mode(principal text, resource text, owner text) RETURNS text "
            "LANGUAGE plpgsql AS $$ BEGIN IF nextval('asked') " +
            which + " THEN RAISE query_canceled; END IF; RETURN 'Exclusive'; END $$");
    };
    (void)sql("CREATE SEQUENCE asked");
    cancel("= 1");
    BOOST_TEST(one.mode_of("n", soon()) == "Exclusive");
    BOOST_TEST(one.usable());
    cancel("> 0");
    BOOST_CHECK_THROW((void)one.mode_of("n", soon()), detail::no_answer);
    BOOST_TEST(!one.usable());
    BOOST_TEST(sql("SELECT last_value FROM asked") == "5");
}

BOOST_FIXTURE_TEST_CASE(a_conversion_that_fails_keeps_the_update_lock, server) {
    auto one = connect(), two = connect();
    BOOST_TEST(one.try_get("n", mode::shared, soon()));
    BOOST_TEST(two.try_get("n", mode::update, soon()));
    BOOST_TEST(!two.try_get("n", mode::exclusive, soon()));
    BOOST_TEST(!two.get("n", mode::exclusive, 20ms, soon()));
    BOOST_TEST(two.mode_of("n", soon()) == "Update");
    one.release("n", soon());
    BOOST_TEST(two.try_get("n", mode::exclusive, soon()));
    two.release("n", soon());
    two.release("n", soon());
    BOOST_TEST(locks() == "0");
}

BOOST_FIXTURE_TEST_CASE(what_is_not_held_cannot_be_released, server) {
    auto one = connect();
    BOOST_CHECK_EXCEPTION(one.release("n", soon()), connection_error,
                          [](const auto& e) { return e.native_code() == -999; });
    BOOST_TEST(one.usable());
}

BOOST_FIXTURE_TEST_CASE(a_column_that_is_null_is_empty, server) {
    auto one = connect();
    std::array<char, 16> left{}, right{};
    std::vector<std::string> found;
    const auto ask = [&](const char* text) {
        one.ask_for(text, soon(), [&](odbc::statement& q) {
            q.column(left).column(right).each_row(
                [&] { found.push_back(std::string{left.data()} + "|" + right.data()); });
        });
    };
    ask("VALUES ('a', 'b'), (NULL, 'c'), ('d', NULL), (NULL, NULL), ('', 'e') ");
    BOOST_TEST(found == (std::vector<std::string>{"a|b", "|c", "d|", "|", "|e"}), boost::test_tools::per_element());
    ask("SELECT 'x', 'y' WHERE false");
    BOOST_TEST(left.data() == std::string{}, "there is no row");
}

BOOST_FIXTURE_TEST_CASE(a_killed_session_is_not_usable_any_more, server) {
    auto one = connect();
    BOOST_TEST(one.try_get("n", mode::exclusive, soon()));
    (void)sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()");
    BOOST_CHECK_THROW((void)one.mode_of("n", soon()), detail::no_answer);
    BOOST_TEST(!one.usable());
    BOOST_CHECK_THROW((void)one.try_get("n", mode::exclusive, soon()), detail::no_answer);
    BOOST_TEST(!one.last_words().empty());
}

BOOST_AUTO_TEST_CASE(nobody_there) {
    const odbc::environment e{"test"};
    odbc::canceler c;
    BOOST_CHECK_EXCEPTION(
        (applock_session{e, c, "DRIVER={PostgreSQL Unicode};SERVER=/nowhere;PORT=1;", "test", soon()}),
        connection_error, [](const auto& error) { return error.sqlstate().starts_with("08"); });
    BOOST_CHECK_THROW((applock_session{e, c, "DRIVER={no such driver}", "test", soon()}), connection_error);
}

}  // namespace
}  // namespace rowlock
