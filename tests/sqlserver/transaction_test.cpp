// Applocks in the caller's own transaction: what releases them, and that nothing else of the transaction changes.
#include <boost/test/unit_test.hpp>

#include <functional>
#include <optional>

#include <rowlock/error.hpp>

#include <implicit_transaction.hpp>

#include <support/background.hpp>
#include <support/slack.hpp>

#include "caller_fixture.hpp"

using namespace std::chrono_literals;
using rowlock::test::in_background;
using rowlock::test::odbc_connection;
using rowlock::test::slack;
using steady = std::chrono::steady_clock;
namespace sqlserver = rowlock::sqlserver;
using fixture = rowlock::test::caller_fixture;

namespace {

constexpr auto begin = "BEGIN TRANSACTION";

}  // namespace

BOOST_FIXTURE_TEST_SUITE(transaction, fixture, *boost::unit_test::precondition(fixture::reachable))

BOOST_AUTO_TEST_CASE(commit_and_rollback_release) {
    for (const auto* end : {"COMMIT", "ROLLBACK"}) {
        (void)mine.sql(begin);
        BOOST_TEST(sqlserver::try_lock(mine.handle(), n));
        BOOST_TEST(sqlserver::try_lock(mine.handle(), n), "it is the transaction's already");
        BOOST_TEST(!free(n));
        BOOST_TEST(free(m));
        (void)mine.sql(end);
        BOOST_TEST(free(n));
    }
}

// It is the first statement of its transaction.
BOOST_AUTO_TEST_CASE(without_autocommit) {
    mine.autocommit(false);
    for (int i = 0; i < 2; ++i) {
        BOOST_TEST(sqlserver::try_lock(mine.handle(), n));
        BOOST_TEST(!free(n));
        check_usable(mine);
        mine.rollback();
        BOOST_TEST(free(n));
        sqlserver::lock_shared(mine.handle(), m);
        check_usable(mine);
        BOOST_TEST(!free(m));
        mine.commit();
        BOOST_TEST(free(m));
    }
    mine.autocommit(true);
    BOOST_TEST(proofs() == "2");
}

// As it is to SQL Server; what psqlODBC begins by itself is no affair of the library's.
BOOST_AUTO_TEST_CASE(what_begins_a_transaction_by_itself) {
    if (stand_in()) return;
    (void)mine.sql("SET IMPLICIT_TRANSACTIONS ON");
    (void)mine.sql("SELECT 1");
    BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "0", "control");
    (void)mine.sql(std::string{sqlserver::begin_implicitly});
    BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "1");
    (void)mine.sql("ROLLBACK");
    (void)mine.sql("SET IMPLICIT_TRANSACTIONS OFF");
}

BOOST_AUTO_TEST_CASE(misuse_says_what_to_do) {
    BOOST_CHECK_THROW(sqlserver::lock(mine.handle(), n), std::logic_error);
    BOOST_CHECK_THROW((void)sqlserver::try_lock_shared(mine.handle(), n), std::logic_error);
    BOOST_TEST(free(n));
    BOOST_CHECK_THROW(sqlserver::lock(nullptr, n), std::invalid_argument);
    (void)mine.sql(begin);
    BOOST_CHECK_THROW((void)sqlserver::try_lock(mine.handle(), ""), std::invalid_argument);
    BOOST_CHECK_THROW((void)sqlserver::try_lock(mine.handle(), std::string(256, 'x')), std::invalid_argument);
    BOOST_CHECK_THROW((void)sqlserver::try_lock(mine.handle(), "\xFF"), std::invalid_argument);
    BOOST_TEST(sqlserver::try_lock(mine.handle(), prefix + "'; DROP TABLE x; --"));
    (void)mine.sql("COMMIT");
    mine.disconnect();
    BOOST_CHECK_THROW(sqlserver::lock(mine.handle(), n), rowlock::connection_error);
    mine.connect();
}

BOOST_AUTO_TEST_CASE(a_wait_ends_in_time_and_changes_nothing) {
    (void)theirs.sql(begin);
    sqlserver::lock(theirs.handle(), n);
    for (const auto& take : std::vector<std::function<bool()>>{
             [&] { return sqlserver::try_lock(mine.handle(), n, 50ms); },
             [&] { return sqlserver::try_lock_shared(mine.handle(), n, 50ms); },
         }) {
        (void)mine.sql(begin);
        check_usable(mine);
        const auto before = steady::now();
        BOOST_TEST(!take());
        BOOST_TEST((steady::now() - before >= 50ms));
        BOOST_TEST((steady::now() - before < 50ms + slack));
        check_usable(mine);
        (void)mine.sql("COMMIT");
    }
    (void)mine.sql(begin);
    for (const auto none : {0ms, -1ms, std::chrono::milliseconds::min()}) {
        BOOST_TEST(!sqlserver::try_lock(mine.handle(), n, none));
        BOOST_TEST(!sqlserver::try_lock_shared(mine.handle(), n, none));
    }
    BOOST_TEST(sqlserver::try_lock(mine.handle(), m), "after busy ones");
    (void)theirs.sql("COMMIT");
    BOOST_TEST(free(n), "nothing is held of a wait that came to nothing");
    (void)mine.sql("COMMIT");
    BOOST_TEST(proofs() == "4");
}

BOOST_AUTO_TEST_CASE(a_wait_is_granted) {
    (void)theirs.sql(begin);
    sqlserver::lock(theirs.handle(), n);
    (void)mine.sql(begin);
    auto granted = in_background([&] { return sqlserver::try_lock(mine.handle(), n, std::chrono::hours::max()); });
    BOOST_TEST(waiting());
    (void)theirs.sql("COMMIT");
    BOOST_TEST(granted.get());
    BOOST_TEST(!free(n));
    (void)mine.sql("COMMIT");
}

BOOST_AUTO_TEST_CASE(with_the_locks_of_providers) {
    auto locks = sqlserver::applock(to);
    // Names that are locked as they are, and such as are not.
    for (const auto& name : {n, n + " ", "rowlock:" + n, n + "\xC3\xA9\xF0\x9F\x9A\xA3"}) {
        rowlock::shared_mutex s{locks, name};
        rowlock::semaphore permits{locks, name, 2};
        (void)mine.sql(begin);
        BOOST_TEST(sqlserver::try_lock(mine.handle(), name));
        BOOST_TEST(!s.try_acquire());
        BOOST_TEST(!s.try_acquire_shared());
        BOOST_TEST(!permits.try_acquire());
        (void)mine.sql("ROLLBACK");
        (void)mine.sql(begin);
        BOOST_TEST(sqlserver::try_lock_shared(mine.handle(), name));
        BOOST_TEST(!s.try_acquire());
        BOOST_TEST(s.try_acquire_shared().has_value());
        BOOST_TEST(!permits.try_acquire());
        (void)mine.sql("COMMIT");
        (void)mine.sql(begin);
        {
            const auto held = s.acquire();
            BOOST_TEST(!sqlserver::try_lock(mine.handle(), name, 10ms));
            BOOST_TEST(!sqlserver::try_lock_shared(mine.handle(), name));
        }
        {
            const auto held = s.acquire_shared();
            BOOST_TEST(!sqlserver::try_lock(mine.handle(), name));
            BOOST_TEST(sqlserver::try_lock_shared(mine.handle(), name));
        }
        (void)mine.sql("COMMIT");
        (void)mine.sql(begin);
        {
            const auto permit = permits.acquire();
            BOOST_TEST(!sqlserver::try_lock(mine.handle(), name));
            BOOST_TEST(!sqlserver::try_lock_shared(mine.handle(), name, 10ms));
        }
        BOOST_TEST(sqlserver::try_lock(mine.handle(), name));
        (void)mine.sql("COMMIT");
        BOOST_TEST(s.try_acquire().has_value());
    }
}

BOOST_AUTO_TEST_CASE(a_provider_s_prefix_is_not_put_before_the_name) {
    auto locks = sqlserver::applock(to, {.key_prefix = prefix});
    (void)mine.sql(begin);
    sqlserver::lock(mine.handle(), prefix + "x");
    BOOST_TEST(!locks.try_acquire("x"));
    (void)mine.sql("COMMIT");
}

// Attributes, what the session has set, a statement that the caller has prepared: all as before.
BOOST_AUTO_TEST_CASE(settings_come_out_as_they_went_in) {
    (void)theirs.sql(begin);
    sqlserver::lock(theirs.handle(), n);
    for (const bool on : {true, false}) {
        mine.autocommit(on);
        mine.set(SQL_ATTR_TXN_ISOLATION, SQL_TXN_READ_UNCOMMITTED);
        if (on) (void)mine.sql(begin);
        (void)mine.sql(stand_in() ? "SET LOCAL lock_timeout = 12345" : "SET LOCK_TIMEOUT 12345");
        const auto session = [&] {
            return mine.sql(stand_in()
                                ? "SELECT current_setting('lock_timeout') || "
                                  "current_setting('transaction_isolation') || current_setting('statement_timeout')"
                                : "SELECT CAST(@@LOCK_TIMEOUT AS varchar) + ' ' + CAST(@@TRANCOUNT AS varchar)");
        };
        const auto before = session();
        odbc_connection::statement own{mine};
        SQLSetStmtAttr(own.handle, SQL_ATTR_QUERY_TIMEOUT, reinterpret_cast<SQLPOINTER>(77), SQL_IS_UINTEGER);
        SQLCHAR text[] = "SELECT 42";
        BOOST_TEST(SQL_SUCCEEDED(SQLPrepare(own.handle, text, SQL_NTS)));
        BOOST_TEST(!sqlserver::try_lock(mine.handle(), n, 20ms));
        BOOST_TEST(sqlserver::try_lock(mine.handle(), m, 20ms));
        BOOST_TEST(session() == before);
        BOOST_TEST(SQL_SUCCEEDED(SQLExecute(own.handle)));
        BOOST_TEST(own.next().value() == "42");
        SQLFreeStmt(own.handle, SQL_CLOSE);
        SQLULEN timeout = 0;
        SQLGetStmtAttr(own.handle, SQL_ATTR_QUERY_TIMEOUT, &timeout, SQL_IS_UINTEGER, nullptr);
        BOOST_TEST(timeout == 77U);
        BOOST_TEST(mine.get(SQL_ATTR_AUTOCOMMIT) == (on ? SQL_AUTOCOMMIT_ON : SQL_AUTOCOMMIT_OFF));
        BOOST_TEST(mine.get(SQL_ATTR_TXN_ISOLATION) == static_cast<unsigned long>(SQL_TXN_READ_UNCOMMITTED));
        if (on)
            (void)mine.sql("COMMIT");
        else
            mine.commit();
    }
    mine.autocommit(true);
    (void)theirs.sql("COMMIT");
}

// Larger than what a driver has read by itself: it works, or says what to do, and the result goes on either way.
BOOST_AUTO_TEST_CASE(a_result_that_is_being_read) {
    (void)mine.sql(begin);
    {
        odbc_connection::statement reading{mine};
        reading.start(stand_in() ? "SELECT repeat('x', 100) FROM generate_series(1, 200000)"
                                 : "SELECT TOP 200000 REPLICATE('x', 100) FROM sys.all_objects a, sys.all_objects b");
        BOOST_TEST(reading.next().has_value());
        bool ready = true;
        try {
            BOOST_TEST(sqlserver::try_lock(mine.handle(), n));
        } catch (const std::logic_error& e) {
            BOOST_TEST_MESSAGE(e.what());
            ready = false;
        }
        int rows = 1;
        while (reading.next()) ++rows;
        BOOST_TEST(rows == 200'000);
        BOOST_TEST(free(n) != ready);
    }
    BOOST_TEST(sqlserver::try_lock(mine.handle(), n), "once it has been read");
    BOOST_TEST(!free(n));
    (void)mine.sql("COMMIT");
}

// Limits of a second that the caller has set on the connection itself.
BOOST_AUTO_TEST_CASE(the_callers_query_timeout_does_not_end_a_wait) {
    if (!SQL_SUCCEEDED(
            SQLSetConnectAttr(mine.handle(), SQL_ATTR_QUERY_TIMEOUT, reinterpret_cast<SQLPOINTER>(1), SQL_IS_UINTEGER)))
        BOOST_TEST_MESSAGE("this driver has no such attribute of connections");
    (void)theirs.sql(begin);
    sqlserver::lock(theirs.handle(), n);
    (void)mine.sql(begin);
    const auto before = steady::now();
    BOOST_TEST(!sqlserver::try_lock(mine.handle(), n, 1500ms));
    BOOST_TEST((steady::now() - before >= 1500ms));
    (void)mine.sql("COMMIT");
    (void)theirs.sql("COMMIT");
}

BOOST_AUTO_TEST_SUITE_END()
