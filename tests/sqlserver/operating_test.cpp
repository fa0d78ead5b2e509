// What an operator sees of applocks: status, break, doctor. The views of SQL Server that tell of others are tables
// here.
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <string>

#include <unistd.h>

#include <rowlock/doctor.hpp>
#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>
#include <rowlock/sqlserver.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_server.hpp>
#include <support/sqlserver_connection.hpp>

namespace {

using namespace std::chrono_literals;
using rowlock::lock_mode;
using rowlock::test::eventually;

struct stand_in {
    rowlock::test::postgres_server& server = rowlock::test::postgres_server::shared();
    const std::string database = server.new_database();
    const std::string to = server.odbc_connection_string(database);

    stand_in() { server.run_file(database, ROWLOCK_TEST_APPLOCK_STAND_IN); }
    // As the manual has them, as far as they are read.
    void make_views() const {
        (void)server.sql(
            database,
            "CREATE SCHEMA sys;"
            "CREATE FUNCTION db_id() RETURNS int LANGUAGE sql AS 'SELECT 7';"
            "CREATE FUNCTION host_name() RETURNS text LANGUAGE sql AS $$SELECT 'here'::text$$;"
            "CREATE TABLE sys.dm_exec_sessions (session_id int, program_name text, host_name text, host_process_id int,"
            " login_time timestamp);"
            "CREATE TABLE sys.dm_tran_locks (resource_type text, resource_database_id int, resource_description text,"
            " request_mode text, request_status text, request_session_id int);"
            "INSERT INTO sys.dm_exec_sessions VALUES"
            " (51, 'there:17:shop', 'there', 17, now() - interval '1 hour'), (52, 'sqlcmd', 'there', 18, now());"
            "INSERT INTO sys.dm_tran_locks VALUES"
            " ('APPLICATION', 7, '0:[nightly]:(5d9b0a43)', 'X', 'GRANT', 51),"
            " ('APPLICATION', 7, '0:[nightly]:(5d9b0a43)', 'S', 'WAIT', 52),"
            " ('APPLICATION', 7, '0:[a]:(b]:(00000001)', 'IX', 'GRANT', 52),"
            " ('APPLICATION', 7, '0:[" +
                std::string(32, 'x') +
                "]:(00000002)', 'U', 'GRANT', 52),"
                " ('APPLICATION', 7, '0:[rowlock:0123456789abcdef01234567]:(00000003)', 'X', 'GRANT', 52),"
                " ('APPLICATION', 8, '0:[other database]:(00000004)', 'X', 'GRANT', 52),"
                " ('OBJECT', 7, '', 'IX', 'GRANT', 52)");
    }
};

const rowlock::finding& about(const std::vector<rowlock::finding>& all, const std::string& what) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto& f) { return f.what == what; });
    BOOST_REQUIRE_MESSAGE(found != all.end(), "nothing is said about " << what);
    return *found;
}

BOOST_FIXTURE_TEST_CASE(a_provider_shows_what_it_has_to_do_with, stand_in) {
    auto locks = rowlock::sqlserver::applock(to, {.owner = "me"});
    const auto held = locks.acquire("n");
    const auto reading = rowlock::shared_mutex{locks, "r"}.acquire_shared();
    std::stop_source stop;
    auto waiter = rowlock::test::in_background(
        [&] { return rowlock::test::throws<rowlock::cancelled>([&] { (void)locks.acquire("n", stop.get_token()); }); });
    BOOST_TEST(eventually([&] { return locks.status("n").at(0).waiters.size() == 1; }));
    const auto all = locks.status();
    BOOST_REQUIRE(all.size() == 2U);
    BOOST_TEST(all[0].name == "n");
    BOOST_TEST(all[0].holders.at(0).owner == "me");
    BOOST_TEST((all[0].holders[0].mode == lock_mode::exclusive));
    BOOST_TEST((std::chrono::system_clock::now() - all[0].holders[0].since < 1min));
    BOOST_TEST(all[0].waiters[0].owner == "me");
    BOOST_TEST((all[1].holders.at(0).mode == lock_mode::shared));
    stop.request_stop();
    BOOST_TEST(waiter.get());
    BOOST_TEST(locks.try_acquire("m").has_value(), "a question that was refused has spoiled nothing");
}

BOOST_FIXTURE_TEST_CASE(nobody_is_not_said_where_nobody_knows, stand_in) {
    auto locks = rowlock::sqlserver::applock(to);
    BOOST_CHECK_THROW((void)locks.status(), rowlock::unsupported);
}

BOOST_FIXTURE_TEST_CASE(others_are_shown_where_the_server_tells, stand_in) {
    make_views();
    auto locks = rowlock::sqlserver::applock(to, {.owner = "me"});
    const auto held = locks.acquire("own");
    const auto all = locks.status();
    BOOST_REQUIRE(all.size() == 4U);
    BOOST_TEST(all[0].name == "a]:(b");
    BOOST_TEST((all[0].holders.at(0).mode == lock_mode::permit));
    BOOST_TEST(all[0].holders[0].owner == "there:18:sqlcmd");
    BOOST_TEST(all[1].name == "nightly");
    BOOST_TEST(all[1].holders.at(0).owner == "there:17:shop");
    const auto age = std::chrono::system_clock::now() - all[1].holders[0].since;
    BOOST_TEST((age > 59min));
    BOOST_TEST((age < 61min));
    BOOST_TEST((all[1].waiters.at(0).mode == lock_mode::shared));
    BOOST_TEST(all[2].name == "own");
    BOOST_TEST(all[3].name == std::string(32, 'x') + "...");
    BOOST_TEST((all[3].holders.at(0).mode == lock_mode::upgrade));
    BOOST_TEST(locks.status("night").size() == 1U);
    BOOST_TEST(locks.status("nothing").empty());
}

// What this process has itself is shown once, in its own words; a container may have the same host and number.
BOOST_FIXTURE_TEST_CASE(who_shares_host_and_number_is_not_hidden, stand_in) {
    make_views();
    const auto pid = std::to_string(getpid());
    const std::string text(40, 'y');
    (void)server.sql(database, "INSERT INTO sys.dm_exec_sessions VALUES (60, 'ours', 'here', " + pid +
                                   ", now()), (61, 'other', 'here', " + pid +
                                   ", now());"
                                   "INSERT INTO sys.dm_tran_locks VALUES"
                                   " ('APPLICATION', 7, '0:[own]:(00000005)', 'X', 'GRANT', 60),"
                                   " ('APPLICATION', 7, '0:[" +
                                   text.substr(0, 32) +
                                   "]:(00000006)', 'S', 'GRANT', 60),"
                                   " ('APPLICATION', 7, '0:[own]:(00000005)', 'X', 'WAIT', 61),"
                                   " ('APPLICATION', 7, '0:[theirs]:(00000007)', 'X', 'GRANT', 61)");
    auto locks = rowlock::sqlserver::applock(to, {.owner = "me"});
    const auto held = locks.acquire("own");
    const auto sharing = rowlock::shared_mutex{locks, text}.acquire_shared();
    const auto own = locks.status("own");
    BOOST_REQUIRE(own.size() == 1U);
    BOOST_REQUIRE(own[0].holders.size() == 1U);
    BOOST_TEST(own[0].holders[0].owner == "me");
    BOOST_REQUIRE(own[0].waiters.size() == 1U);
    BOOST_TEST(own[0].waiters[0].owner == "here:" + pid + ":other");
    const auto theirs = locks.status("theirs");
    BOOST_REQUIRE(theirs.size() == 1U);
    BOOST_TEST(theirs[0].holders.at(0).owner == "here:" + pid + ":other");
    const auto shared = locks.status("yyy");
    BOOST_REQUIRE(shared.size() == 1U);
    BOOST_TEST(shared[0].name == text);
}

BOOST_FIXTURE_TEST_CASE(a_break_says_what_to_do_instead, stand_in) {
    auto locks = rowlock::sqlserver::applock(to);
    const auto held = locks.acquire("n");
    BOOST_CHECK_EXCEPTION((void)locks.break_lock("n", "it hangs"), rowlock::unsupported,
                          [](const auto& e) { return std::string{e.what()}.find("KILL") != std::string::npos; });
    BOOST_TEST(!held.lost().stop_requested());
}

BOOST_FIXTURE_TEST_CASE(doctor, stand_in) {
    const auto all = rowlock::diagnose("sqlserver:" + to);
    BOOST_TEST((about(all, "connection").level == rowlock::severity::good));
    BOOST_TEST(about(all, "connection").found.find("psqlodbc") != std::string::npos);
    BOOST_TEST((about(all, "server").level == rowlock::severity::advice));
    BOOST_TEST((about(all, "applocks").level == rowlock::severity::good));
    BOOST_TEST((about(all, "pooling").level == rowlock::severity::good));
    BOOST_TEST((about(all, "status").level == rowlock::severity::advice));
    make_views();
    BOOST_TEST((about(rowlock::diagnose("sqlserver+applock:" + to), "status").level == rowlock::severity::good));
}

BOOST_FIXTURE_TEST_CASE(doctor_of_what_is_no_sql_server, stand_in) {
    (void)server.sql(database, "DROP FUNCTION sp_getapplock(text, text, text, integer)");
    const auto all = rowlock::diagnose("sqlserver:" + to);
    BOOST_TEST((about(all, "applocks").level == rowlock::severity::problem));
    BOOST_TEST((rowlock::diagnose("sqlserver:DRIVER={no such driver}").at(0).level == rowlock::severity::problem));
}

boost::test_tools::assertion_result is_there(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result yes{rowlock::test::sqlserver().has_value()};
    yes.message() << rowlock::test::no_sqlserver;
    return yes;
}

BOOST_AUTO_TEST_CASE(a_driver_must_not_replace_a_session_unasked) {
    for (const std::string keyword : {"ConnectRetryCount", "CONNECTRETRYCOUNT"})
        BOOST_CHECK_EXCEPTION((void)rowlock::sqlserver::applock("DRIVER={none};" + keyword + "=3;SERVER=x"),
                              std::invalid_argument, [](const std::exception& e) {
                                  return std::string_view{e.what()}.find("ConnectRetryCount=3") != std::string::npos;
                              });
    BOOST_CHECK_THROW((void)rowlock::sqlserver::applock("DRIVER={none};ConnectRetryCount=0"),
                      rowlock::connection_error);
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(is_there))
BOOST_AUTO_TEST_CASE(the_server_shows_the_owner_as_the_program) {
    const auto to = *rowlock::test::sqlserver();
    auto locks = rowlock::sqlserver::applock(to, {.owner = "rowlock operating test"});
    rowlock::test::sqlserver_connection past{to};
    BOOST_TEST(past.sql("SELECT count(*) FROM sys.dm_exec_sessions WHERE program_name = 'rowlock operating test'") ==
               "1");
    for (const auto& f : rowlock::diagnose("sqlserver:" + to))
        BOOST_TEST((f.level != rowlock::severity::problem), f.what << ": " << f.found);
}

}  // namespace
