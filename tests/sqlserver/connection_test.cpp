// Applocks on the caller's own connection: what it means for the caller's other work on it.
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <optional>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include <rowlock/error.hpp>

#include <support/background.hpp>
#include <support/recorder.hpp>
#include <support/slack.hpp>

#include "caller_fixture.hpp"

using namespace std::chrono_literals;
using rowlock::test::eventually;
using rowlock::test::in_background;
using rowlock::test::odbc_connection;
using rowlock::test::slack;
using rowlock::test::throws;
using steady = std::chrono::steady_clock;
namespace sqlserver = rowlock::sqlserver;
using fixture = rowlock::test::caller_fixture;

namespace {

// More rows than a driver reads by itself.
struct result_being_read {
    explicit result_being_read(odbc_connection& c) : reading{c} {
        reading.start(fixture::stand_in()
                          ? "SELECT repeat('x', 100) FROM generate_series(1, 100000)"
                          : "SELECT TOP 100000 REPLICATE('x', 100) FROM sys.all_objects a, sys.all_objects b");
        BOOST_TEST(reading.next().has_value());
    }
    odbc_connection::statement reading;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(connection, fixture, *boost::unit_test::precondition(fixture::reachable))

BOOST_AUTO_TEST_CASE(the_lock_is_that_sessions) {
    auto provider = sqlserver::applock_on(mine.handle());
    auto held = provider.acquire(n);
    BOOST_TEST(!free(n));
    BOOST_TEST(mine.sql("SELECT APPLOCK_MODE('public', '" + n + "', 'Session')") == "Exclusive");
    BOOST_TEST(provider.try_acquire(m, 1s).has_value());
    BOOST_TEST(!provider.try_acquire(n).has_value());
    held.verify();
    held.release();
    BOOST_TEST(free(n));
    BOOST_TEST(mine.sql("SELECT APPLOCK_MODE('public', '" + n + "', 'Session')") == "NoLock");
}

BOOST_AUTO_TEST_CASE(the_callers_work_goes_on_beside_it) {
    auto provider = sqlserver::applock_on(mine.handle());
    for (int i = 0; i < 10; ++i) {
        auto held = provider.acquire(n);
        (void)mine.sql("BEGIN TRANSACTION");
        check_usable(mine);
        if (i % 2 == 0) held.release();
        (void)mine.sql("COMMIT");
    }
    BOOST_TEST(proofs() == "10");
    BOOST_TEST(free(n));
}

BOOST_AUTO_TEST_CASE(a_transaction_s_end_changes_nothing_of_them) {
    auto provider = sqlserver::applock_on(mine.handle());
    for (const auto* end : {"COMMIT", "ROLLBACK"}) {
        auto before = provider.acquire(m);
        (void)mine.sql("BEGIN TRANSACTION");
        check_usable(mine);
        auto inside = provider.acquire(n);
        before.release();
        BOOST_TEST(free(m), "before the transaction ends");
        (void)mine.sql(end);
        BOOST_TEST(!free(n));
        inside.verify();
    }
    BOOST_TEST(free(n));
    BOOST_TEST(proofs() == "1");
}

BOOST_AUTO_TEST_CASE(without_autocommit) {
    mine.autocommit(false);
    auto provider = sqlserver::applock_on(mine.handle());
    auto held = provider.acquire(n);
    check_usable(mine);
    mine.rollback();
    BOOST_TEST(!free(n));
    held.verify();
    check_usable(mine);
    held.release();
    BOOST_TEST(free(n));
    mine.commit();
    BOOST_TEST(proofs() == "1");
    BOOST_TEST(mine.get(SQL_ATTR_AUTOCOMMIT) == SQL_AUTOCOMMIT_OFF);
}

// Those of SQL Server begin only where a table is used; what psqlODBC begins by itself is no affair of the library's.
BOOST_AUTO_TEST_CASE(no_transaction_is_begun) {
    if (stand_in()) return;
    (void)mine.sql("SET IMPLICIT_TRANSACTIONS ON");
    auto provider = sqlserver::applock_on(mine.handle());
    {
        auto held = provider.acquire(n);
        held.verify();
        BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "0");
    }
    BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "0");
    (void)mine.sql("SET IMPLICIT_TRANSACTIONS OFF");
}

BOOST_AUTO_TEST_CASE(settings_come_out_as_they_went_in) {
    mine.set(SQL_ATTR_TXN_ISOLATION, SQL_TXN_READ_UNCOMMITTED);
    (void)mine.sql(stand_in() ? "SET lock_timeout = 90" : "SET LOCK_TIMEOUT 90");
    const auto session = [&] {
        return mine.sql(stand_in() ? "SELECT current_setting('lock_timeout')" : "SELECT @@LOCK_TIMEOUT");
    };
    const auto before = session();
    odbc_connection::statement own{mine};
    SQLSetStmtAttr(own.handle, SQL_ATTR_QUERY_TIMEOUT, reinterpret_cast<SQLPOINTER>(1), SQL_IS_UINTEGER);
    auto theirs_held = others.acquire(n);
    auto provider = sqlserver::applock_on(mine.handle());
    BOOST_TEST(!provider.try_acquire(n, 1500ms));  // throws if one of them strikes
    BOOST_TEST(provider.try_acquire(m).has_value());
    BOOST_TEST(session() == before);
    SQLULEN timeout = 0;
    SQLGetStmtAttr(own.handle, SQL_ATTR_QUERY_TIMEOUT, &timeout, SQL_IS_UINTEGER, nullptr);
    BOOST_TEST(timeout == 1U);
    BOOST_TEST(mine.get(SQL_ATTR_AUTOCOMMIT) == SQL_AUTOCOMMIT_ON);
    BOOST_TEST(mine.get(SQL_ATTR_TXN_ISOLATION) == static_cast<unsigned long>(SQL_TXN_READ_UNCOMMITTED));
}

BOOST_AUTO_TEST_CASE(the_callers_own_applocks_survive) {
    auto provider = sqlserver::applock_on(mine.handle());
    const auto own = prefix + "own";
    (void)mine.sql(stand_in() ? "SELECT sp_getapplock('" + own + "', 'Exclusive', 'Session', 0)"
                              : "EXEC sp_getapplock '" + own + "', 'Exclusive', 'Session', 0");
    auto held_by_others = others.acquire(n);
    BOOST_TEST(!provider.try_acquire(n));
    BOOST_TEST(!provider.try_acquire(n, 20ms));
    BOOST_TEST(!(rowlock::shared_mutex{provider, n}.try_acquire_shared_for(20ms)));
    BOOST_TEST(!(rowlock::semaphore{provider, n, 2}.try_acquire_for(20ms)));
    std::stop_source stop;
    auto cancelled =
        in_background([&] { return throws<rowlock::cancelled>([&] { (void)provider.acquire(n, stop.get_token()); }); });
    BOOST_TEST(waiting());
    stop.request_stop();
    BOOST_TEST(cancelled.get());
    held_by_others.release();
    BOOST_TEST(provider.try_acquire(n, 1s).has_value());
    BOOST_TEST(free(n));
    BOOST_TEST(!free(own));
}

BOOST_AUTO_TEST_CASE(while_a_result_is_being_read) {
    const auto heard = std::make_shared<rowlock::test::recorder>();
    auto provider = sqlserver::applock_on(mine.handle(), {.events = heard});
    auto held = provider.acquire(n);
    auto in_scope = std::make_optional(provider.acquire(m));
    bool ready = true;
    {
        result_being_read result{mine};
        try {
            BOOST_TEST(provider.try_acquire(prefix + "other").has_value());
        } catch (const std::logic_error& e) {
            BOOST_TEST_MESSAGE(e.what());
            ready = false;
        }
        if (ready)
            held.release();
        else
            BOOST_CHECK_THROW(held.release(), rowlock::connection_error);
        in_scope.reset();
        BOOST_TEST(heard->count("release_failed") == (ready ? 0 : 2));
        BOOST_TEST(free(n) == ready);
        int rows = 1;
        while (result.reading.next()) ++rows;
        BOOST_TEST(rows == 100'000, "the result goes on");
    }
    BOOST_TEST(provider.try_acquire(prefix + "other").has_value());
    BOOST_TEST(free(n), "given back by the next use");
    BOOST_TEST(free(m));
}

BOOST_AUTO_TEST_CASE(what_is_put_off_is_given_back_at_the_end_of_the_provider) {
    {
        auto provider = sqlserver::applock_on(mine.handle());
        {
            auto held = std::make_optional(provider.acquire(n));
            const result_being_read result{mine};
            held.reset();
        }
    }
    BOOST_TEST(free(n));
}

BOOST_AUTO_TEST_CASE(a_killed_session_is_noticed_at_the_next_use) {
    auto provider = sqlserver::applock_on(mine.handle());
    auto held = provider.acquire(n);
    kill(my_session);
    BOOST_TEST(eventually([&] { return free(n); }));
    BOOST_CHECK_THROW((void)provider.try_acquire(m), rowlock::connection_error);
    BOOST_TEST(eventually([&] { return held.lost().stop_requested(); }));
    BOOST_TEST((held.lost_reason() == rowlock::loss_reason::connection));
    BOOST_CHECK_THROW(held.verify(), rowlock::lock_lost);
    BOOST_CHECK_THROW((void)provider.try_acquire(n), rowlock::connection_error);
    held.release();
}

// It may be connected anew, and have statements in the places of ours: nothing of them is touched.
BOOST_AUTO_TEST_CASE(closed_by_its_owner) {
    for (const bool connects_again : {false, true}) {
        std::optional<odbc_connection::statement> others_in_our_place[16];
        {
            auto provider = sqlserver::applock_on(mine.handle());
            auto held = provider.acquire(n);
            mine.disconnect();
            BOOST_TEST(eventually([&] { return free(n); }));
            if (connects_again) {
                mine.connect();
                for (auto& s : others_in_our_place) s.emplace(mine);
            }
            BOOST_CHECK_THROW((void)provider.try_acquire(n), rowlock::connection_error);
            BOOST_TEST(eventually([&] { return held.lost().stop_requested(); }));
        }
        for (auto& s : others_in_our_place) {
            if (!s) continue;
            s->start("SELECT 42");
            BOOST_TEST(s->next().value() == "42");
            SQLFreeStmt(s->handle, SQL_CLOSE);
        }
        if (!connects_again) mine.connect();
    }
    auto again = sqlserver::applock_on(mine.handle());
    BOOST_TEST(again.try_acquire(n).has_value());
}

BOOST_AUTO_TEST_CASE(closed_before_the_provider_was_used_again) {
    std::optional<odbc_connection::statement> others_in_our_place[16];
    {
        auto provider = sqlserver::applock_on(mine.handle());
        BOOST_TEST(provider.try_acquire(n).has_value());
        mine.disconnect();
        mine.connect();
        for (auto& s : others_in_our_place) s.emplace(mine);
    }
    for (auto& s : others_in_our_place) {
        s->start("SELECT 42");  // throws if its handle is not valid any more
        SQLFreeStmt(s->handle, SQL_CLOSE);
    }
}

BOOST_AUTO_TEST_CASE(one_provider_for_each_connection) {
    BOOST_CHECK_THROW((void)sqlserver::applock_on(nullptr), std::invalid_argument);
    {
        auto provider = sqlserver::applock_on(mine.handle());
        BOOST_CHECK_THROW((void)sqlserver::applock_on(mine.handle()), std::logic_error);
        BOOST_TEST(provider.try_acquire(n).has_value());
    }
    for (int i = 0; i < 3; ++i) {
        auto provider = sqlserver::applock_on(mine.handle());
        BOOST_TEST(provider.try_acquire(n).has_value());
    }
    mine.disconnect();
    BOOST_CHECK_THROW((void)sqlserver::applock_on(mine.handle()), rowlock::connection_error);
    mine.connect();
    BOOST_TEST(sqlserver::applock_on(mine.handle()).try_acquire(n).has_value());
}

// More of that, where there is T-SQL: lease_connection_test.cpp.
BOOST_AUTO_TEST_CASE(no_migration_where_every_statement_begins_a_transaction) {
    mine.autocommit(false);
    check_usable(mine);
    BOOST_CHECK_EXCEPTION(sqlserver::migrate(mine.handle()), std::logic_error, [](const std::exception& e) {
        return std::string_view{e.what()}.find("SQL_ATTR_AUTOCOMMIT") != std::string_view::npos;
    });
    BOOST_TEST(mine.get(SQL_ATTR_AUTOCOMMIT) == SQL_AUTOCOMMIT_OFF);
    check_usable(mine);
    mine.commit();
    BOOST_TEST(proofs() == "2");
    mine.autocommit(true);
}

BOOST_AUTO_TEST_CASE(no_upgrade_locks) {
    auto provider = sqlserver::applock_on(mine.handle());
    BOOST_TEST(!provider.supports(rowlock::primitive::upgrade_mutex));
    BOOST_CHECK_THROW((void)(rowlock::upgrade_mutex{provider, n}.try_acquire_upgrade()), rowlock::unsupported);
}

BOOST_AUTO_TEST_CASE(waiting_for_oneself_is_reported) {
    auto provider = sqlserver::applock_on(mine.handle());
    auto held = provider.acquire(n);
    BOOST_CHECK_THROW((void)provider.acquire(n), rowlock::deadlock_detected);
    BOOST_TEST(!provider.try_acquire(n, 20ms));
    held.release();
    BOOST_TEST(provider.try_acquire(n).has_value());
    rowlock::shared_mutex s{provider, m};
    auto shared = s.acquire_shared();
    BOOST_CHECK_THROW((void)s.acquire(), rowlock::deadlock_detected);
    BOOST_TEST(s.try_acquire_shared().has_value());
    // Another thread may wait for it.
    auto other = in_background([&] { return s.try_acquire_for(20s).has_value(); });
    std::this_thread::sleep_for(10ms);
    shared.release();
    BOOST_TEST(other.get());
}

// A wait in the server does not keep other threads from the connection.
BOOST_AUTO_TEST_CASE(who_waits_gives_way) {
    auto provider = sqlserver::applock_on(mine.handle());
    auto held_by_others = others.acquire(n);
    auto held = provider.acquire(m);
    auto waits = in_background([&] { return provider.acquire(n); });
    BOOST_TEST(waiting());
    for (int i = 0; i < 10; ++i) {
        const auto before = steady::now();
        BOOST_TEST(provider.try_acquire(prefix + "another").has_value());
        BOOST_TEST((steady::now() - before < slack));
    }
    held.release();
    BOOST_TEST(waiting(), "again");
    held_by_others.release();
    waits.get().release();
    BOOST_TEST(free(n));
}

// What a cancellation would roll back where XACT_ABORT is ON.
BOOST_AUTO_TEST_CASE(a_wait_that_gives_way_leaves_the_transaction_alone) {
    if (!stand_in()) (void)mine.sql("SET XACT_ABORT ON");
    auto provider = sqlserver::applock_on(mine.handle());
    auto held_by_others = others.acquire(n);
    auto held = provider.acquire(m);
    (void)mine.sql("BEGIN TRANSACTION");
    check_usable(mine);
    std::stop_source stop;
    auto is_stopped =
        in_background([&] { return throws<rowlock::cancelled>([&] { (void)provider.acquire(n, stop.get_token()); }); });
    BOOST_TEST(waiting());
    stop.request_stop();
    BOOST_TEST(is_stopped.get());
    auto waits = in_background([&] { return provider.acquire(n); });
    BOOST_TEST(waiting());
    for (int i = 0; i < 5; ++i) {
        const auto before = steady::now();
        BOOST_TEST(provider.try_acquire(prefix + "another").has_value());
        BOOST_TEST((steady::now() - before < 100ms + slack));
    }
    held.release();
    held_by_others.release();
    auto got = waits.get();
    check_usable(mine);
    (void)mine.sql("COMMIT");
    BOOST_TEST(proofs() == "2");
    got.release();
    BOOST_TEST(free(n));
}

BOOST_AUTO_TEST_CASE(control_a_cancellation_rolls_the_transaction_back) {
    if (stand_in()) return;  // has no XACT_ABORT
    (void)mine.sql("SET XACT_ABORT ON");
    auto held_by_others = others.acquire(n);
    (void)mine.sql("BEGIN TRANSACTION");
    check_usable(mine);
    std::stop_source stop;
    auto is_stopped = in_background(
        [&] { return throws<rowlock::cancelled>([&] { sqlserver::lock(mine.handle(), n, stop.get_token()); }); });
    BOOST_TEST(waiting());
    stop.request_stop();
    BOOST_TEST(is_stopped.get());
    BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "0");
    BOOST_TEST(proofs() == "0");
}

// Two who wait for different names have the connection in turns, and each turn costs the other one its place.
BOOST_AUTO_TEST_CASE(who_waits_is_seldom_interrupted_for_who_waits) {
    auto provider = sqlserver::applock_on(mine.handle());
    auto first_name = others.acquire(n), second_name = others.acquire(m);
    auto first = in_background([&] { return provider.acquire(n); });
    auto second = in_background([&] { return provider.acquire(m); });
    BOOST_TEST(waiting());
    if (stand_in()) {
        std::set<std::string> waits;
        for (const auto end = steady::now() + 3s; steady::now() < end; std::this_thread::sleep_for(2ms))
            waits.insert(onlooker.sql(
                "SELECT coalesce(max(query_start)::text, '') FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND "
                "pid = " +
                my_session));
        BOOST_TEST(waits.size() > 1U, "each has turns");
        BOOST_TEST(waits.size() < 50U);
    }
    second_name.release();
    second.get().release();
    first_name.release();
    first.get().release();
    BOOST_TEST(free(n));
    BOOST_TEST(free(m));
}

// Timeouts, cancellations and other work at the moment of the grant.
BOOST_AUTO_TEST_CASE(no_ended_wait_leaves_a_lock_behind) {
    std::atomic<int> granted{0}, ended{0}, inside{0}, overlaps{0};
    const auto work = [&](unsigned seed) {
        std::minstd_rand random{seed};
        odbc_connection c{to};
        auto provider = sqlserver::applock_on(c.handle());
        rowlock::shared_mutex s{provider, n};
        for (int i = 0; i < 60; ++i) {
            std::stop_source stop;
            std::jthread stopper;
            if (i % 2 == 0)
                stopper = std::jthread{[&stop, us = random() % 8000] {
                    std::this_thread::sleep_for(std::chrono::microseconds{us});
                    stop.request_stop();
                }};
            const auto wait = std::chrono::microseconds{1000 + random() % 5000};
            const bool shared = random() % 4 == 0;
            std::optional<rowlock::lock_handle> held;
            try {
                held = shared ? s.try_acquire_shared_for(wait, stop.get_token())
                              : s.try_acquire_for(wait, stop.get_token());
            } catch (const rowlock::cancelled&) {
            }
            ++(held ? granted : ended);
            if (!held) continue;
            const int weight = shared ? 1 : 1000;
            const int before = inside.fetch_add(weight);
            if (before >= 1000 || (!shared && before > 0)) ++overlaps;
            std::this_thread::sleep_for(std::chrono::microseconds{random() % 1000});
            inside -= weight;
        }
    };
    {
        std::vector<std::jthread> all;
        for (unsigned t = 1; t <= 8; ++t) all.emplace_back(work, t);
    }
    BOOST_TEST_MESSAGE(granted << " granted, " << ended << " ended");
    BOOST_TEST(overlaps == 0);
    BOOST_TEST(ended > 0);
    BOOST_TEST(granted > 0);
    BOOST_TEST(free(n));
}

BOOST_AUTO_TEST_SUITE_END()
