// Locks in the caller's own transaction, through libpqxx: what releases them, and that nothing else of the transaction
// changes.
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
    pqxx::connection mine{conninfo}, theirs{conninfo};

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
    static bool free(pqxx::connection& c, const char* name = "n") {
        pqxx::work tx{c};
        return postgres::try_lock(tx, name);
    }
};

// The transaction takes statements, and what it does is there after its commit.
void check_usable(pqxx::work& tx) {
    tx.exec("CREATE TABLE IF NOT EXISTS proof (x int)");
    tx.exec("INSERT INTO proof VALUES (1)");
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(transaction, fixture)

BOOST_AUTO_TEST_CASE(commit_and_rollback_release) {
    for (const bool commits : {true, false}) {
        pqxx::work tx{mine};
        BOOST_TEST(postgres::try_lock(tx, "n"));
        BOOST_TEST(postgres::try_lock(tx, "n"), "it is the transaction's already");
        BOOST_TEST(!free(theirs));
        BOOST_TEST(free(theirs, "another"));
        if (commits)
            tx.commit();
        else
            tx.abort();
        BOOST_TEST(free(theirs));
    }
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(a_rollback_to_a_savepoint_before_it_releases) {
    pqxx::work tx{mine};
    BOOST_TEST(postgres::try_lock(tx, "before"));
    {
        pqxx::subtransaction sub{tx};
        BOOST_TEST(postgres::try_lock(sub, "kept"));
        sub.commit();
    }
    {
        pqxx::subtransaction sub{tx};
        postgres::lock(sub, "inside");
        BOOST_TEST(!free(theirs, "inside"));
        sub.abort();
    }
    BOOST_TEST(free(theirs, "inside"));
    BOOST_TEST(!free(theirs, "before"));
    BOOST_TEST(!free(theirs, "kept"));
    check_usable(tx);
    tx.commit();
}

BOOST_AUTO_TEST_CASE(an_error_in_the_transaction_releases) {
    pqxx::work tx{mine};
    postgres::lock(tx, "n");
    BOOST_CHECK_THROW(tx.exec("SELECT 1/0"), pqxx::sql_error);
    BOOST_TEST(free(theirs), "PostgreSQL rolls back at once");
    BOOST_CHECK_THROW(postgres::lock(tx, "n"), std::logic_error);
}

BOOST_AUTO_TEST_CASE(misuse_says_what_to_do) {
    pqxx::nontransaction none{mine};
    BOOST_CHECK_THROW(postgres::lock(none, "n"), std::logic_error);
    BOOST_TEST(locks() == "0|0");
    pqxx::work tx{theirs};
    BOOST_CHECK_THROW((void)postgres::try_lock(tx, ""), std::invalid_argument);
    BOOST_CHECK_THROW((void)postgres::try_lock(tx, std::string(256, 'x')), std::invalid_argument);
    BOOST_CHECK_THROW((void)postgres::try_lock(tx, "\xFF"), std::invalid_argument);
    BOOST_TEST(postgres::try_lock(tx, "'; DROP TABLE x; --"));
    tx.commit();
    BOOST_CHECK_THROW(postgres::lock(tx, "n"), std::logic_error);
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(a_wait_ends_in_time_and_changes_nothing) {
    pqxx::work holder{theirs};
    postgres::lock(holder, "n");
    for (const auto& take : std::vector<std::function<bool(pqxx::work&)>>{
             [](auto& tx) { return postgres::try_lock(tx, "n", 50ms); },
             [](auto& tx) { return postgres::try_lock_shared(tx, "n", 50ms); },
         }) {
        pqxx::work tx{mine};
        check_usable(tx);
        const auto before = steady::now();
        BOOST_TEST(!take(tx));
        BOOST_TEST((steady::now() - before >= 50ms));
        BOOST_TEST((steady::now() - before < 50ms + slack));
        check_usable(tx);
        tx.commit();
    }
    pqxx::work tx{mine};
    for (const auto none : {0ms, -1ms, std::chrono::milliseconds::min()}) {
        BOOST_TEST(!postgres::try_lock(tx, "n", none));
        BOOST_TEST(!postgres::try_lock_shared(tx, "n", none));
    }
    BOOST_TEST(locks() == "1|0");
    BOOST_TEST(sql("SELECT count(*) FROM proof") == "4");
    BOOST_TEST(server.new_complaints() == "", "being busy is no error");
}

BOOST_AUTO_TEST_CASE(a_wait_is_granted) {
    auto holder = std::make_optional<pqxx::work>(theirs);
    postgres::lock(*holder, "n");
    auto granted = in_background([&] {
        pqxx::work tx{mine};
        return postgres::try_lock(tx, "n", std::chrono::hours::max());
    });
    BOOST_TEST(waiting());
    holder.reset();
    BOOST_TEST(granted.get());
}

// The caller's timeouts neither end the wait nor change.
BOOST_AUTO_TEST_CASE(timeouts_are_set_aside_and_come_back) {
    pqxx::work holder{theirs};
    postgres::lock(holder, "n");
    const auto settings = [](pqxx::work& tx) {
        return std::string{tx.exec("SELECT string_agg(setting, ',' ORDER BY name) FROM pg_settings "
                                   "WHERE name IN ('statement_timeout', 'lock_timeout')")[0][0]
                               .c_str()};
    };
    mine.set_variable("statement_timeout", "'90001ms'");
    {
        pqxx::work tx{mine};
        tx.exec("SET LOCAL lock_timeout = 1234567");
        BOOST_TEST(!postgres::try_lock(tx, "n"));
        BOOST_TEST(!postgres::try_lock(tx, "n", 10ms));
        BOOST_TEST(settings(tx) == "1234567,90001");
        BOOST_TEST(postgres::try_lock(tx, "m", 10ms));
        BOOST_TEST(postgres::try_lock_shared(tx, "s", 10ms));
        BOOST_TEST(settings(tx) == "1234567,90001");
        tx.exec("SET LOCAL statement_timeout = '30ms'; SET LOCAL lock_timeout = '20ms'");
        BOOST_TEST(!postgres::try_lock(tx, "n", 200ms));  // throws if one of them strikes
        BOOST_TEST(settings(tx) == "20,30");
        tx.commit();
    }
    pqxx::work tx{mine};
    BOOST_TEST(settings(tx) == "0,90001", "what held for the session does again");
    BOOST_TEST(server.new_complaints() == "");
}

// The control for the above: a plain statement is ended, and the transaction with it.
BOOST_AUTO_TEST_CASE(control_a_plain_wait_is_ended_by_the_callers_timeout) {
    pqxx::work holder{theirs};
    holder.exec("SELECT pg_advisory_xact_lock(1)");
    pqxx::work tx{mine};
    tx.exec("SET LOCAL statement_timeout = '30ms'");
    BOOST_CHECK_THROW(tx.exec("SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(1)"), pqxx::sql_error);
    BOOST_CHECK_THROW(tx.exec("SELECT 1"), pqxx::usage_error);
}

BOOST_AUTO_TEST_CASE(every_isolation_level) {
    pqxx::work holder{theirs};
    postgres::lock(holder, "n");
    for (const auto* level :
         {"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE", "SERIALIZABLE READ ONLY", "READ COMMITTED READ ONLY"}) {
        pqxx::work tx{mine};
        tx.exec(std::string{"SET TRANSACTION ISOLATION LEVEL "} + level);
        BOOST_TEST(!postgres::try_lock(tx, "n"), level);
        BOOST_TEST(!postgres::try_lock(tx, "n", 20ms), level);
        BOOST_TEST(postgres::try_lock(tx, "m"), level);
        BOOST_TEST(postgres::try_lock(tx, "w", 1s), level);
        BOOST_TEST(postgres::try_lock_shared(tx, "s"), level);
        tx.exec("SELECT 1");
        tx.commit();
    }
    BOOST_TEST(server.new_complaints() == "");
}

// What the documentation warns of: the snapshot is older than the lock. The write is refused, not stale.
BOOST_AUTO_TEST_CASE(a_snapshot_from_before_the_wait_cannot_overwrite) {
    (void)sql("CREATE TABLE stock (n int); INSERT INTO stock VALUES (5)");
    auto holder = std::make_optional<pqxx::work>(theirs);
    postgres::lock(*holder, "n");
    auto refused = in_background([&] {
        pqxx::work tx{mine};
        tx.exec("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ");
        postgres::lock(tx, "n");
        return throws<pqxx::serialization_failure>([&] { tx.exec("UPDATE stock SET n = n - 1"); });
    });
    BOOST_TEST(waiting());
    holder->exec("UPDATE stock SET n = 4");
    holder->commit();
    BOOST_TEST(refused.get());
}

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

BOOST_AUTO_TEST_CASE(with_the_locks_of_providers) {
    auto locks = rowlock::postgres::advisory(conninfo);
    rowlock::shared_mutex s{locks, "n"};
    {
        pqxx::work tx{mine};
        BOOST_TEST(postgres::try_lock(tx, "n"));
        BOOST_TEST(!s.try_acquire());
        BOOST_TEST(!s.try_acquire_shared());
        BOOST_TEST(!(rowlock::semaphore{locks, "n", 2}.try_acquire()));
    }
    {
        pqxx::work tx{mine};
        BOOST_TEST(postgres::try_lock_shared(tx, "n"));
        BOOST_TEST(postgres::try_lock_shared(tx, "n", 1s));
        BOOST_TEST(!s.try_acquire());
        BOOST_TEST(s.try_acquire_shared().has_value());
        BOOST_TEST(!(rowlock::semaphore{locks, "n", 2}.try_acquire()));
    }
    pqxx::work tx{mine};
    {
        const auto held = s.acquire();
        BOOST_TEST(!postgres::try_lock(tx, "n", 10ms));
        BOOST_TEST(!postgres::try_lock_shared(tx, "n", 10ms));
    }
    {
        const auto held = s.acquire_shared();
        BOOST_TEST(!postgres::try_lock(tx, "n"));
        pqxx::work other{theirs};
        BOOST_TEST(postgres::try_lock_shared(other, "n"));
    }
    {
        const auto permit = rowlock::semaphore{locks, "n", 2}.acquire();
        BOOST_TEST(!postgres::try_lock(tx, "n"));
        BOOST_TEST(!postgres::try_lock_shared(tx, "n"));
        BOOST_TEST(!postgres::try_lock_shared(tx, "n", 50ms));
        pqxx::work other{theirs};
        BOOST_TEST(!postgres::try_lock_shared(other, "n"));
    }
    BOOST_TEST(postgres::try_lock_shared(tx, "n"));
    tx.commit();
    BOOST_TEST(locks.try_acquire("n").has_value());
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(through_a_transaction_pooler) {
    const auto pooled = server.pooler_conninfo("transaction", database);
    BOOST_REQUIRE(eventually([&] { return !throws<pqxx::broken_connection>([&] { pqxx::connection{pooled}; }); }));
    pqxx::connection c{pooled};
    pqxx::work holder{theirs};
    postgres::lock(holder, "n");
    for (int i = 0; i < 3; ++i) {
        pqxx::work tx{c};
        BOOST_TEST(postgres::try_lock(tx, "m"));
        BOOST_TEST(!postgres::try_lock(tx, "n", 10ms));
        BOOST_TEST(postgres::try_lock_shared(tx, "s", 10ms));
        BOOST_TEST(!free(mine, "m"));
        tx.commit();
        BOOST_TEST(free(mine, "m"));
    }
    std::stop_source stop;
    auto outcome = in_background([&] {
        pqxx::work tx{c};
        return throws<rowlock::cancelled>([&] { postgres::lock(tx, "n", stop.get_token()); });
    });
    BOOST_TEST(waiting());
    stop.request_stop();
    BOOST_TEST(outcome.get());
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(a_lazy_connection_will_do) {
    pqxx::lazyconnection lazy{conninfo};
    pqxx::work tx{lazy};
    BOOST_TEST(postgres::try_lock(tx, "n"));
    BOOST_TEST(!free(theirs));
}

BOOST_AUTO_TEST_SUITE_END()
