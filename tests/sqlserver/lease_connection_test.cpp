// Row leases on the caller's own connection: what it means for the caller's other work on it, and what the caller's
// transactions mean for them. On a server that speaks TDS; which one, ROWLOCK_TEST_SQLSERVER says.
#include <chrono>
#include <stdexcept>
#include <string_view>
#include <thread>

#include <rowlock/error.hpp>

#include <support/eventually.hpp>
#include <support/odbc_connection.hpp>
#include <support/recorder.hpp>

#include "lease_fixture.hpp"

using namespace std::chrono_literals;

namespace rowlock {
namespace {

struct fixture : test::lease_fixture {
    fixture() : lease_fixture{"rowlock_lease_on_test"} {
        (void)past.sql("DROP TABLE IF EXISTS rowlock_lease_on_proof; CREATE TABLE rowlock_lease_on_proof (n int)");
    }
    ~fixture() {
        (void)mine.sql("IF @@TRANCOUNT > 0 ROLLBACK");
        (void)past.sql("DROP TABLE rowlock_lease_on_proof");
    }

    provider on_mine(options opt = {}) { return sqlserver::leases_on(mine.handle(), settings(std::move(opt))); }
    void write() { (void)mine.sql("INSERT INTO rowlock_lease_on_proof VALUES (1)"); }
    std::string written() { return past.sql("SELECT COUNT(*) FROM rowlock_lease_on_proof"); }
    std::string held_in_database() { return sql("SELECT COUNT(*) FROM {s}.lock WHERE expires_at > SYSUTCDATETIME()"); }
    /// What the batches change for themselves, and the state of the transaction.
    std::string session() {
        const auto ask = [&](const std::string& what) { return mine.sql("SELECT " + what) + " "; };
        return ask("@@OPTIONS") + ask("@@LOCK_TIMEOUT") + ask("@@TRANCOUNT") +
               ask("transaction_isolation_level FROM sys.dm_exec_sessions WHERE session_id = @@SPID");
    }

    test::odbc_connection mine{*test::sqlserver()};
};

// More rows than a driver reads by itself.
struct result_being_read {
    explicit result_being_read(test::odbc_connection& c) : reading{c} {
        reading.start("SELECT TOP 100000 REPLICATE('x', 100) FROM sys.all_objects a, sys.all_objects b");
        BOOST_TEST(reading.next().has_value());
    }
    test::odbc_connection::statement reading;
};

const auto if_there = boost::unit_test::precondition(test::has_sqlserver);

}  // namespace

BOOST_AUTO_TEST_SUITE(leases_on_a_connection, *if_there)

BOOST_FIXTURE_TEST_CASE(they_are_those_of_leases, fixture) {
    auto locks = on_mine(), others = open();
    auto held = locks.acquire("n");
    BOOST_TEST(!others.try_acquire("n"));
    BOOST_TEST(!locks.try_acquire("n"));
    held.verify();
    const auto first = held.token();
    held.release();
    auto next = others.try_acquire("n");
    BOOST_REQUIRE(next.has_value());
    BOOST_TEST((next->token() > first));
    BOOST_TEST(!locks.try_acquire("n", 100ms));
    next->release();
    auto again = locks.try_acquire("n", 10s);
    BOOST_REQUIRE(again.has_value());
    BOOST_TEST((again->token() > next->token()));
    shared_mutex s{locks, "s"};
    auto one = s.acquire_shared(), two = s.acquire_shared();
    upgrade_mutex u{locks, "u"};
    auto up = u.acquire_upgrade();
    BOOST_TEST(up.try_upgrade_for(10s));
    BOOST_TEST(locks.status().size() == 3U);
    BOOST_TEST(locks.break_lock("s", "test"));
    BOOST_CHECK_THROW(one.verify(), lock_lost);
    BOOST_TEST(locks.purge(0ms) == 1U);
}

BOOST_FIXTURE_TEST_CASE(it_is_renewed_by_verifying_it, fixture) {
    const auto heard = std::make_shared<test::recorder>();
    auto locks = on_mine({.ttl = 12s, .events = heard}), others = open();
    auto held = locks.acquire("n");
    for (int i = 0; i < 4; ++i) {
        std::this_thread::sleep_for(4s);
        const auto before = std::chrono::steady_clock::now();
        held.verify();
        BOOST_TEST((held.valid_until() > before + 11s));
        BOOST_TEST((held.valid_until() < before + 12s));
    }
    BOOST_TEST(!held.lost().stop_requested());
    BOOST_TEST(!others.try_acquire("n"), "16 s after it was acquired for 12");
}

BOOST_FIXTURE_TEST_CASE(it_runs_out_when_it_is_not_verified, fixture) {
    auto locks = on_mine({.ttl = 6s}), others = open();
    auto held = locks.acquire("n");
    BOOST_REQUIRE(test::eventually([&] { return held.lost().stop_requested(); }));
    BOOST_TEST(held_in_database() == "1", "told before others can have it");
    BOOST_TEST((held.lost_reason() == loss_reason::expired));
    BOOST_CHECK_THROW(held.verify(), lock_lost);
    BOOST_TEST(others.try_acquire("n", 30s).has_value());
    BOOST_CHECK_THROW(held.verify(), lock_lost);
}

BOOST_FIXTURE_TEST_CASE(nothing_happens_on_the_connection_between_calls, fixture) {
    auto locks = on_mine({.ttl = 6s});
    auto held = locks.acquire("n");
    // Whatever thread used it would meet these, and be refused, or abort the process.
    int rounds = 0;
    for (const auto end = std::chrono::steady_clock::now() + 5s; std::chrono::steady_clock::now() < end; ++rounds)
        write();
    BOOST_TEST(written() == std::to_string(rounds));
    held.verify();
}

BOOST_FIXTURE_TEST_CASE(in_a_transaction_nothing_is_done, fixture) {
    const auto heard = std::make_shared<test::recorder>();
    auto locks = on_mine({.events = heard});
    auto held = locks.acquire("n");
    for (const std::string end : {"COMMIT", "ROLLBACK"}) {
        (void)mine.sql("BEGIN TRANSACTION");
        write();
        BOOST_CHECK_THROW((void)locks.try_acquire("m"), std::logic_error);
        BOOST_CHECK_THROW((void)locks.try_acquire("m", 1s), std::logic_error);
        BOOST_CHECK_THROW(held.verify(), connection_error);
        BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "1");
        (void)mine.sql(end);
    }
    BOOST_TEST(written() == "1");
    held.verify();
    BOOST_TEST(held_in_database() == "1");

    (void)mine.sql("BEGIN TRANSACTION");
    write();
    BOOST_CHECK_THROW(held.release(), connection_error);
    BOOST_TEST(heard->count("release_failed") == 1);
    BOOST_TEST(held_in_database() == "1");
    (void)mine.sql("COMMIT");
    BOOST_TEST(written() == "2");
    BOOST_TEST(locks.try_acquire("m").has_value());
    BOOST_TEST(held_in_database() == "0", "made up for by the next call");
}

BOOST_FIXTURE_TEST_CASE(a_transaction_longer_than_the_time_to_live, fixture) {
    const auto heard = std::make_shared<test::recorder>();
    auto locks = on_mine({.ttl = 6s, .events = heard});
    auto others = open();
    auto held = locks.acquire("n");
    (void)mine.sql("BEGIN TRANSACTION");
    write();
    BOOST_REQUIRE(test::eventually([&] { return held.lost().stop_requested(); }));
    BOOST_TEST(held_in_database() == "1", "told before others can have it");
    BOOST_TEST((held.lost_reason() == loss_reason::expired));
    auto next = others.try_acquire("n", 30s);
    BOOST_REQUIRE(next.has_value());
    BOOST_TEST((next->token() > held.token()));
    BOOST_CHECK_THROW(sqlserver::fence(mine.handle(), held), lock_lost);
    (void)mine.sql("ROLLBACK");
    next->release();
    BOOST_TEST(locks.try_acquire("n", 10s).has_value());
    BOOST_TEST(written() == "0");
}

BOOST_FIXTURE_TEST_CASE(a_fence_in_a_transaction_of_the_same_connection, fixture) {
    auto locks = on_mine({.ttl = 12s}), others = open();
    auto held = locks.acquire("n");
    (void)mine.sql("BEGIN TRANSACTION");
    sqlserver::fence(mine.handle(), held);
    write();
    expire();
    BOOST_TEST(!others.try_acquire("n"), "taken over inside a fenced transaction");
    (void)mine.sql("COMMIT");
    BOOST_TEST(written() == "1");
    BOOST_TEST(others.try_acquire("n", 10s).has_value());

    auto stale = locks.acquire("stale");
    expire();
    auto next = others.try_acquire("stale");
    BOOST_REQUIRE(next.has_value());
    (void)mine.sql("BEGIN TRANSACTION");
    BOOST_CHECK_THROW(sqlserver::fence(mine.handle(), stale), lock_lost);
    (void)mine.sql("ROLLBACK");
}

BOOST_FIXTURE_TEST_CASE(settings_come_out_as_they_went_in, fixture) {
    // Babelfish does not change the level in a batch that has read something, so those above cannot be tried on it.
    for (const std::string way : {"ON", "OFF"})
        for (const std::string level : {"READ UNCOMMITTED", "READ COMMITTED"}) {
            (void)mine.sql("SET XACT_ABORT " + way + "; SET NOCOUNT " + way + "; SET LOCK_TIMEOUT 9000");
            (void)mine.sql("SET TRANSACTION ISOLATION LEVEL " + level);
            const auto before = session();
            {
                auto locks = on_mine();
                auto held = locks.acquire("n");
                held.verify();
                BOOST_TEST(!locks.try_acquire("n", 50ms));
                (void)locks.status();
                held.release();
                (void)locks.purge(0ms);
                BOOST_TEST(session() == before);
            }
            sqlserver::migrate(mine.handle(), settings());
            BOOST_TEST(session() == before);
        }
    BOOST_TEST(mine.get(SQL_ATTR_AUTOCOMMIT) == SQL_AUTOCOMMIT_ON);
}

BOOST_FIXTURE_TEST_CASE(migrating_on_a_connection, fixture) {
    for (const std::string table : {"lock", "part", "floor", "break", "migration"})
        (void)sql("DROP TABLE {s}.[" + table + "]");
    (void)sql("DROP SCHEMA {s}");
    BOOST_CHECK_THROW((void)on_mine(), schema_error);
    const auto tables = [&] { return past.sql("SELECT COUNT(*) FROM sys.schemas WHERE name = '" + schema + "'"); };
    // A rollback would take it back, and a failure the rest of the transaction.
    for (const std::string end : {"COMMIT", "ROLLBACK"}) {
        (void)mine.sql("BEGIN TRANSACTION");
        write();
        BOOST_CHECK_THROW(sqlserver::migrate(mine.handle(), settings()), std::logic_error);
        BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "1");
        (void)mine.sql(end);
        BOOST_TEST(written() == "1");
        BOOST_TEST(tables() == "0");
    }
    (void)mine.sql("SET IMPLICIT_TRANSACTIONS ON");
    BOOST_CHECK_THROW(sqlserver::migrate(mine.handle(), settings()), std::logic_error);
    BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "0");
    (void)mine.sql("SET IMPLICIT_TRANSACTIONS OFF");
    mine.autocommit(false);
    BOOST_CHECK_THROW(sqlserver::migrate(mine.handle(), settings()), std::logic_error);
    mine.autocommit(true);
    const auto before = session();
    sqlserver::migrate(mine.handle(), settings());
    BOOST_TEST(session() == before);
    BOOST_TEST(on_mine().try_acquire("n").has_value());
}

BOOST_FIXTURE_TEST_CASE(connections_that_will_not_do, fixture) {
    BOOST_CHECK_THROW((void)sqlserver::leases_on(nullptr), std::invalid_argument);
    mine.autocommit(false);
    BOOST_CHECK_THROW((void)on_mine(), std::logic_error);
    mine.autocommit(true);
    (void)mine.sql("SET IMPLICIT_TRANSACTIONS ON");
    BOOST_CHECK_THROW((void)on_mine(), std::logic_error);
    BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "0");
    (void)mine.sql("SET IMPLICIT_TRANSACTIONS OFF");
    (void)mine.sql("BEGIN TRANSACTION");
    BOOST_CHECK_THROW((void)on_mine(), std::logic_error);
    (void)mine.sql("COMMIT");
    auto locks = on_mine();
    BOOST_CHECK_THROW((void)on_mine(), std::logic_error);
    mine.autocommit(false);
    BOOST_CHECK_THROW((void)locks.try_acquire("n"), std::logic_error);
    mine.autocommit(true);
    BOOST_TEST(locks.try_acquire("n").has_value());
}

BOOST_FIXTURE_TEST_CASE(while_a_result_is_being_read, fixture) {
    auto locks = on_mine();
    auto held = locks.acquire("n");
    {
        result_being_read result{mine};
        BOOST_CHECK_THROW((void)locks.try_acquire("m"), std::logic_error);
        BOOST_CHECK_THROW(held.release(), connection_error);
        int rows = 1;
        while (result.reading.next()) ++rows;
        BOOST_TEST(rows == 100'000, "the result goes on");
    }
    BOOST_TEST(locks.try_acquire("m", 10s).has_value());
    BOOST_TEST(held_in_database() == "0", "made up for by the next call");
}

BOOST_FIXTURE_TEST_CASE(closed_by_its_owner, fixture) {
    for (const bool connects_again : {false, true}) {
        auto locks = on_mine({.ttl = 6s});
        auto held = locks.acquire("n");
        mine.disconnect();
        if (connects_again) mine.connect();
        BOOST_CHECK_THROW((void)locks.try_acquire("m"), connection_error);
        BOOST_TEST(held_in_database() == "1");
        BOOST_TEST(test::eventually([&] { return held.lost().stop_requested(); }));
        BOOST_TEST(open().try_acquire("n", 30s).has_value());
        if (!connects_again) mine.connect();
    }
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace rowlock
