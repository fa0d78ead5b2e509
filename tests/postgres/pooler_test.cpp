// Leases through a real PgBouncer that gives every transaction another session: what waiting costs there, and what is
// refused. That they work is told by the conformance suite, as postgresql-lease-pooled.
#include <boost/test/unit_test.hpp>

#include <thread>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_server.hpp>
#include <support/slack.hpp>

using namespace std::chrono_literals;
using rowlock::test::eventually;
using rowlock::test::postgres_server;
using steady = std::chrono::steady_clock;

namespace {

struct fixture {
    postgres_server& server = quiet();
    std::string database = server.new_database();
    std::string direct = "postgresql+lease:" + server.uri(database);

    fixture() {
        rowlock::open_schema(direct).migrate();
        (void)server.new_complaints();
    }
    // One that writes nothing by itself.
    static postgres_server& quiet() {
        static postgres_server one{{"wal_level = minimal", "max_wal_senders = 0", "autovacuum = off"}};
        return one;
    }
    std::string through(const std::string& mode) const { return server.pooler_uri(mode, database); }
    std::string sql(const std::string& text) const { return server.sql(database, text); }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pooler, fixture)

BOOST_AUTO_TEST_CASE(a_waiter_asks_thirty_times_a_second_at_most_and_writes_nothing) {
    auto locks = rowlock::open("postgresql+lease:" + through("transaction"), {.ttl = 1h});
    auto held = locks.acquire("n");
    BOOST_TEST(!locks.try_acquire("n", 1ms));
    std::stop_source stop;
    auto others = rowlock::open("postgresql+lease:" + through("transaction"), {.ttl = 1h});
    auto waiter = rowlock::test::in_background([&] {
        return rowlock::test::throws<rowlock::cancelled>([&] { (void)others.acquire("n", stop.get_token()); });
    });
    const auto asked = [&] {
        return std::stol(
            sql("SELECT pg_stat_get_db_xact_commit(oid) FROM pg_database WHERE datname = current_database()"));
    };
    const auto wal = [&] { return sql("SELECT pg_current_wal_insert_lsn() - '0/0'"); };
    // The pauses grow for the first tenth of a second.
    const auto warm = steady::now() + 500ms;
    BOOST_TEST(eventually([&] { return steady::now() > warm; }));
    const auto written = wal();
    const auto before = asked();
    const auto started = steady::now();
    BOOST_TEST(eventually([&] { return steady::now() > started + 3s; }));
    const auto count = asked() - before;
    const auto seconds = std::chrono::duration<double>(steady::now() - started).count();
    BOOST_TEST_MESSAGE(static_cast<double>(count) / seconds << " transactions a second, " << written << " -> "
                                                            << wal());
    // Our own looks at the counters are among them, and statistics come up to a second late.
    BOOST_TEST(static_cast<double>(count) < 35 * (seconds + 1));
    BOOST_TEST(count > 5, "it does ask");
    BOOST_TEST(wal() == written);
    stop.request_stop();
    BOOST_TEST(waiter.get());
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(control_a_lease_writes) {
    auto locks = rowlock::open("postgresql+lease:" + through("transaction"));
    const auto before = sql("SELECT pg_current_wal_insert_lsn() - '0/0'");
    locks.acquire("n").release();
    BOOST_TEST(sql("SELECT pg_current_wal_insert_lsn() - '0/0'") != before);
}

BOOST_AUTO_TEST_CASE(pooled_and_direct_exclude_each_other) {
    auto pooled = rowlock::open("postgresql+lease:" + through("transaction")), straight = rowlock::open(direct);
    BOOST_TEST(!pooled.traits().fair);
    BOOST_TEST(straight.traits().fair);
    auto held = pooled.acquire("n");
    BOOST_TEST(!straight.try_acquire("n", 20ms));
    held.release();
    auto theirs = straight.acquire("n");
    BOOST_TEST((theirs.token() > held.token()));
    BOOST_TEST(!pooled.try_acquire("n", 20ms));
    auto next = rowlock::test::in_background([&] { return pooled.acquire("n").name() == "n"; });
    theirs.release();
    BOOST_TEST(next.get());
}

BOOST_AUTO_TEST_CASE(pooling_of_statements_is_refused) {
    BOOST_CHECK_EXCEPTION((void)rowlock::open("postgresql+advisory:" + through("statement")), rowlock::unsupported,
                          [](const auto& e) { return std::string{e.what()}.find("pool_mode") != std::string::npos; });
    BOOST_CHECK_EXCEPTION((void)rowlock::open("postgresql+lease:" + through("statement")), rowlock::unsupported,
                          [](const auto& e) { return std::string{e.what()}.find("pool_mode") != std::string::npos; });
}

BOOST_AUTO_TEST_SUITE_END()
