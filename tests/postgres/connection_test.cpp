// Advisory locks on the caller's own connection: what it means for the caller's other work on it.
#include <boost/test/unit_test.hpp>

#include <pqxx/pqxx>

#include <atomic>
#include <random>
#include <thread>

#include <rowlock/error.hpp>
#include <rowlock/postgres.hpp>
#include <rowlock/rowlock.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_server.hpp>
#include <support/recorder.hpp>
#include <support/slack.hpp>
#include <support/socket_calls.hpp>

using namespace std::chrono_literals;
using rowlock::test::eventually;
using rowlock::test::in_background;
using rowlock::test::postgres_server;
using rowlock::test::slack;
using rowlock::test::throws;
using steady = std::chrono::steady_clock;
namespace postgres = rowlock::postgres;

namespace {

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    std::string conninfo = server.conninfo(database);
    pqxx::connection mine{conninfo};

    fixture() { (void)server.new_complaints(); }

    std::string sql(const std::string& text) const { return server.sql(database, text); }
    // How many locks are granted, and for how many somebody waits.
    std::string locks() const {
        return sql(
            "SELECT count(*) FILTER (WHERE granted), count(*) FILTER (WHERE NOT granted) FROM pg_locks "
            "WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = "
            "current_database())");
    }
    bool waiting() const {
        return eventually([&] { return locks().ends_with("|1"); });
    }
    bool free(const char* name = "n") const { return postgres::advisory(conninfo).try_acquire(name).has_value(); }
    static std::string value(pqxx::connection& c, const char* query) {
        pqxx::nontransaction tx{c};
        return tx.exec(query)[0][0].c_str();
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(connection, fixture)

BOOST_AUTO_TEST_CASE(the_session_is_the_callers_and_no_other_is_opened) {
    auto provider = postgres::advisory_on(mine);
    auto held = provider.acquire("n");
    BOOST_TEST(provider.try_acquire("m", 1s).has_value());
    BOOST_TEST(sql("SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory'") == "1");
    BOOST_TEST(sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory'") == value(mine, "SELECT pg_backend_pid()"));
    BOOST_TEST(sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> "
                   "pg_backend_pid()") == "1");
    held.release();
    BOOST_TEST(free());
}

BOOST_AUTO_TEST_CASE(a_cycle_is_two_sends_and_two_receives) {
    auto provider = postgres::advisory_on(mine);
    const auto count = [&](auto cycle) {
        cycle();  // prepares the statements
        const int sends = rowlock::test::sends, receives = rowlock::test::receives, polls = rowlock::test::polls;
        for (int i = 0; i < 10; ++i) cycle();
        BOOST_TEST(rowlock::test::sends - sends == 20);
        BOOST_TEST(rowlock::test::receives - receives == 20);
        BOOST_TEST(rowlock::test::polls - polls >= 20);
        BOOST_TEST(rowlock::test::polls - polls <= 21);  // one for each answer, and one if the alarm rings meanwhile
    };
    count([&] { BOOST_TEST(provider.try_acquire("n").has_value()); });
    count([&] { BOOST_TEST(provider.try_acquire("n", 5s).has_value()); });
    count([&] { (rowlock::shared_mutex{provider, "s"}.acquire_shared().release()); });
}

BOOST_AUTO_TEST_CASE(the_callers_work_goes_on_beside_it) {
    auto provider = postgres::advisory_on(mine);
    mine.prepare("one", "SELECT 1");
    for (int i = 0; i < 20; ++i) {
        auto held = provider.acquire("n");
        pqxx::work tx{mine};
        tx.exec("CREATE TABLE IF NOT EXISTS work (x int)");
        tx.exec("INSERT INTO work VALUES (1)");
        (void)tx.exec_prepared("one");
        if (i % 2 == 0) held.release();
        tx.commit();
    }
    BOOST_TEST(value(mine, "SELECT count(*) FROM work") == "20");
    BOOST_TEST(locks() == "0|0");
    (void)value(mine, "DEALLOCATE ALL; SELECT 1");
    BOOST_TEST(provider.try_acquire("n").has_value(), "with statements that are prepared again");
}

BOOST_AUTO_TEST_CASE(inside_a_transaction_releasing_works_and_acquiring_says_what_to_do) {
    auto provider = postgres::advisory_on(mine);
    auto held = provider.acquire("n");
    auto second = provider.acquire("m");
    pqxx::work tx{mine};
    tx.exec("CREATE TABLE work (x int)");
    BOOST_CHECK_THROW((void)provider.try_acquire("other"), std::logic_error);
    BOOST_CHECK_THROW((void)provider.try_acquire("other", 1s), std::logic_error);
    BOOST_TEST(!free());
    held.verify();
    held.release();
    BOOST_TEST(free(), "before the transaction ends");
    tx.abort();
    BOOST_TEST(!free("m"), "not released by a rollback");
    BOOST_TEST(provider.try_acquire("n").has_value());
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(in_a_failed_transaction_a_release_is_put_off) {
    const auto heard = std::make_shared<rowlock::test::recorder>();
    auto provider = postgres::advisory_on(mine, {.events = heard});
    auto held = provider.acquire("n");
    auto in_scope = std::make_optional(provider.acquire("m"));
    {
        pqxx::nontransaction tx{mine};
        tx.exec("BEGIN");
        BOOST_CHECK_THROW(tx.exec("SELECT 1/0"), pqxx::sql_error);
        BOOST_CHECK_THROW(held.release(), rowlock::connection_error);
        in_scope.reset();
    }
    BOOST_TEST(heard->count("release_failed") == 2);
    BOOST_TEST(locks() == "2|0");
    (void)value(mine, "ROLLBACK; SELECT 1");
    BOOST_TEST(provider.try_acquire("another").has_value());
    BOOST_TEST(locks() == "0|0", "given back by the next use");
}

BOOST_AUTO_TEST_CASE(what_is_put_off_is_given_back_at_the_end_of_the_provider) {
    {
        auto provider = postgres::advisory_on(mine);
        {
            auto held = provider.acquire("n");
            pqxx::nontransaction tx{mine};
            tx.exec("BEGIN");
            BOOST_CHECK_THROW(tx.exec("SELECT 1/0"), pqxx::sql_error);
        }
        (void)value(mine, "ROLLBACK; SELECT 1");
        BOOST_TEST(locks() == "1|0");
    }
    BOOST_TEST(locks() == "0|0");
}

BOOST_AUTO_TEST_CASE(the_callers_own_advisory_locks_survive) {
    auto provider = postgres::advisory_on(mine), others = postgres::advisory(conninfo);
    (void)value(mine, "SELECT pg_advisory_lock(42)");
    (void)value(mine, "SELECT pg_advisory_lock_shared(43)");
    auto theirs = others.acquire("n");
    BOOST_TEST(!provider.try_acquire("n"));
    BOOST_TEST(!provider.try_acquire("n", 20ms));
    BOOST_TEST(!(rowlock::shared_mutex{provider, "n"}.try_acquire_shared_for(20ms)));
    BOOST_TEST(!(rowlock::semaphore{provider, "n", 2}.try_acquire_for(20ms)));
    std::stop_source stop;
    auto cancelled = in_background(
        [&] { return throws<rowlock::cancelled>([&] { (void)provider.acquire("n", stop.get_token()); }); });
    BOOST_TEST(waiting());
    stop.request_stop();
    BOOST_TEST(cancelled.get());
    theirs.release();
    BOOST_TEST(provider.try_acquire("n", 1s).has_value());
    BOOST_TEST(locks() == "2|0");
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(settings_stay_as_they_are) {
    // Those of PL/pgSQL appear when it is first used.
    const auto query =
        "SELECT md5(string_agg(name || '=' || setting, ',' ORDER BY name)) FROM pg_settings "
        "WHERE name NOT LIKE 'plpgsql.%'";
    auto others = postgres::advisory(conninfo);
    mine.set_variable("statement_timeout", "'100ms'");
    mine.set_variable("lock_timeout", "'90ms'");
    const auto before = value(mine, query);
    auto provider = postgres::advisory_on(mine);
    const auto theirs = others.acquire("n");
    BOOST_TEST(!provider.try_acquire("n", 400ms));  // throws if one of them strikes
    BOOST_TEST(provider.try_acquire("m").has_value());
    BOOST_TEST(value(mine, query) == before);
}

BOOST_AUTO_TEST_CASE(lost_when_the_session_is_terminated_and_never_connected_again) {
    auto provider = postgres::advisory_on(mine);
    auto held = provider.acquire("n");
    (void)sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'");
    BOOST_TEST(eventually([&] { return held.lost().stop_requested(); }));
    BOOST_TEST((held.lost_reason() == rowlock::loss_reason::connection));
    BOOST_CHECK_THROW(held.verify(), rowlock::lock_lost);
    BOOST_CHECK_THROW((void)provider.try_acquire("n"), rowlock::connection_error);
    for (int i = 0; i < 5; ++i) BOOST_CHECK_THROW(value(mine, "SELECT 1"), pqxx::broken_connection);
    BOOST_CHECK_THROW((void)provider.try_acquire("n"), rowlock::connection_error);
    held.release();
    BOOST_TEST(free());
}

BOOST_AUTO_TEST_CASE(lost_when_its_owner_closes_it) {
    auto provider = postgres::advisory_on(mine);
    auto held = provider.acquire("n");
    mine.disconnect();
    BOOST_TEST(eventually([&] { return held.lost().stop_requested(); }));
    BOOST_CHECK_THROW((void)provider.try_acquire("n"), rowlock::connection_error);
    BOOST_TEST(free());
}

// Its owner may allow libpqxx again to connect by itself; it is seen before anything is done on the new session.
BOOST_AUTO_TEST_CASE(another_session_in_its_place_is_seen) {
    auto provider = postgres::advisory_on(mine);
    auto held = provider.acquire("n");
    mine.disconnect();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    mine.inhibit_reactivation(false);
#pragma GCC diagnostic pop
    BOOST_TEST(value(mine, "SELECT 1") == "1");
    BOOST_CHECK_THROW((void)provider.try_acquire("n"), rowlock::connection_error);
    BOOST_TEST(eventually([&] { return held.lost().stop_requested(); }));
    auto again = postgres::advisory_on(mine);
    BOOST_TEST(again.try_acquire("n").has_value());
}

BOOST_AUTO_TEST_CASE(one_provider_for_each_connection) {
    {
        auto provider = postgres::advisory_on(mine);
        BOOST_CHECK_THROW((void)postgres::advisory_on(mine), std::logic_error);
        BOOST_TEST(provider.try_acquire("n").has_value());
    }
    for (int i = 0; i < 3; ++i) {
        auto provider = postgres::advisory_on(mine);
        BOOST_TEST(provider.try_acquire("n").has_value());
    }
    BOOST_TEST(server.new_complaints() == "");
    pqxx::work tx{mine};
    tx.exec("SELECT 1");
    BOOST_CHECK_THROW((void)postgres::advisory_on(mine), std::logic_error);
}

BOOST_AUTO_TEST_CASE(waiting_for_oneself_is_reported) {
    auto provider = postgres::advisory_on(mine);
    auto held = provider.acquire("n");
    BOOST_CHECK_THROW((void)provider.acquire("n"), rowlock::deadlock_detected);
    BOOST_TEST(!provider.try_acquire("n", 20ms));
    held.release();
    BOOST_TEST(provider.try_acquire("n").has_value());
    rowlock::shared_mutex s{provider, "s"};
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
    auto provider = postgres::advisory_on(mine), others = postgres::advisory(conninfo);
    auto theirs = others.acquire("n");
    auto held = provider.acquire("m");
    auto waits = in_background([&] { return provider.acquire("n"); });
    BOOST_TEST(waiting());
    for (int i = 0; i < 10; ++i) {
        const auto before = steady::now();
        BOOST_TEST(provider.try_acquire("another").has_value());
        BOOST_TEST((steady::now() - before < slack));
    }
    held.release();
    BOOST_TEST(waiting(), "again");
    theirs.release();
    waits.get().release();
    BOOST_TEST(locks() == "0|0");
    BOOST_TEST(server.new_complaints() == "");
}

// Timeouts, cancellations and other work at the moment of the grant.
BOOST_AUTO_TEST_CASE(no_ended_wait_leaves_a_lock_behind) {
    std::atomic<int> granted{0}, ended{0}, inside{0}, overlaps{0};
    const auto work = [&](unsigned seed) {
        std::minstd_rand random{seed};
        pqxx::connection c{conninfo};
        auto provider = postgres::advisory_on(c);
        rowlock::shared_mutex m{provider, "n"};
        for (int i = 0; i < 100; ++i) {
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
                held = shared ? m.try_acquire_shared_for(wait, stop.get_token())
                              : m.try_acquire_for(wait, stop.get_token());
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
    BOOST_TEST(locks() == "0|0");
}

BOOST_AUTO_TEST_CASE(a_busy_connection_is_no_loss) {
    auto provider = postgres::advisory_on(mine);
    auto held = provider.acquire("n");
    {
        pqxx::work tx{mine};
        pqxx::pipeline pipe{tx};
        const auto id = pipe.insert("SELECT pg_sleep(0.05)");
        BOOST_CHECK_THROW(held.release(), rowlock::connection_error);
        (void)pipe.retrieve(id);
        pipe.complete();
        tx.commit();
    }
    BOOST_TEST(!free());
    BOOST_TEST(provider.try_acquire("m").has_value());
    BOOST_TEST(free());
}

BOOST_AUTO_TEST_CASE(a_transaction_pooler_is_refused) {
    const auto pooled = server.pooler_conninfo("transaction", database);
    BOOST_REQUIRE(eventually([&] { return !throws<pqxx::broken_connection>([&] { pqxx::connection{pooled}; }); }));
    pqxx::connection c{pooled};
    BOOST_CHECK_THROW((void)postgres::advisory_on(c), rowlock::unsupported);
}

BOOST_AUTO_TEST_CASE(migrating_through_it) {
    postgres::migrate(mine);
    postgres::migrate(mine);
    BOOST_TEST(value(mine, "SELECT count(*) FROM rowlock.migration") == "2");
    pqxx::work tx{mine};
    tx.exec("SELECT 1");
    BOOST_CHECK_THROW(postgres::migrate(mine), std::logic_error);
}

// A step that fails leaves neither half of it nor an open transaction.
BOOST_AUTO_TEST_CASE(a_migration_that_fails_is_rolled_back) {
    (void)sql("CREATE SCHEMA rowlock");
    BOOST_CHECK_THROW(postgres::migrate(mine), rowlock::error);
    BOOST_TEST(value(mine, "SELECT count(*) FROM pg_tables WHERE schemaname = 'rowlock'") == "0");
}

BOOST_AUTO_TEST_SUITE_END()
