// rowlock doctor on PostgreSQL: a clean bill for a healthy server, and every trouble that can be made is found.
#include <boost/test/unit_test.hpp>

#include <algorithm>

#include <rowlock/doctor.hpp>
#include <rowlock/rowlock.hpp>

#include <support/eventually.hpp>
#include <support/postgres_server.hpp>

using rowlock::finding;
using rowlock::severity;
using rowlock::test::eventually;
using rowlock::test::postgres_server;

namespace {

struct fixture {
    postgres_server& server = durable();
    std::string database = server.new_database();
    std::string lease = "postgresql+lease:" + server.uri(database);
    std::string advisory = "postgresql+advisory:" + server.uri(database);

    fixture() { rowlock::open_schema(lease).migrate(); }

    // As servers should be, which those of other tests are not.
    static postgres_server& durable() {
        static postgres_server one{{"fsync = on"}};
        return one;
    }
    std::string sql(const std::string& text) const { return server.sql(database, text); }
    void set(const std::string& what) const { (void)sql("ALTER DATABASE " + database + " SET " + what); }

    static finding find(const std::string& url, const std::string& what, const rowlock::options& opt = {}) {
        for (auto& f : rowlock::diagnose(url, opt))
            if (f.what == what) return f;
        return {.found = "nothing was said about " + what};
    }
    // It is found, with its name in it, and what to do.
    void check(const std::string& url, const std::string& what, severity level, const std::string& found) const {
        const auto f = find(url, what);
        BOOST_TEST((f.level == level), what << ": " << f.found);
        BOOST_TEST(f.found.find(found) != std::string::npos, f.found);
        BOOST_TEST(f.remedy.empty() == (level == severity::good), f.remedy);
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(doctor, fixture)

BOOST_AUTO_TEST_CASE(a_healthy_server_has_a_clean_bill) {
    for (const auto& url : {lease, advisory, "postgresql+lease:" + server.tcp_conninfo(database)}) {
        const auto all = rowlock::diagnose(url);
        BOOST_TEST(all.size() >= 15U);
        for (const auto& f : all) {
            BOOST_TEST((f.level == severity::good), f.what << ": " << f.found);
            BOOST_TEST(f.remedy == "");
        }
    }
    check("postgresql+lease:" + server.tcp_conninfo(database), "vanished clients", severity::good, "within 11 s");
    check(lease, "schema", severity::good, "rowlock, 0002_waits");
}

BOOST_AUTO_TEST_CASE(what_cannot_be_reached) {
    for (const auto& bad : {std::string{"host=127.0.0.1 port=1"}, "host=" + server.directory() + " port=1"}) {
        const auto all = rowlock::diagnose("postgresql+lease:" + bad);
        BOOST_REQUIRE(all.size() == 1U);
        BOOST_TEST((all[0].level == severity::problem));
        BOOST_TEST(all[0].what == "connection");
    }
    check("postgresql+lease:" + server.conninfo("nowhere"), "connection", severity::problem, "nowhere");
}

BOOST_AUTO_TEST_CASE(a_schema_that_is_missing_newer_or_edited) {
    BOOST_TEST((find(lease, "schema", {.schema = "elsewhere"}).level == severity::problem));
    BOOST_TEST((find(advisory, "schema", {.schema = "elsewhere"}).level == severity::good), "which needs none");
    (void)sql("UPDATE rowlock.migration SET checksum = 'x'");
    check(lease, "schema", severity::problem, "edited");
    (void)sql(
        "UPDATE rowlock.migration SET checksum = NULL; INSERT INTO rowlock.migration VALUES (9999, '9999_future')");
    check(lease, "schema", severity::problem, "newer");
}

BOOST_AUTO_TEST_CASE(privileges) {
    const auto role = "r" + database;
    const auto theirs = "postgresql+lease:" + server.conninfo(database, "user=" + role);
    (void)sql("CREATE ROLE " + role + " LOGIN");
    const auto none = find(theirs, "privileges");
    BOOST_TEST((none.level == severity::problem));
    for (const auto* part : {"USAGE ON SCHEMA rowlock", "UPDATE ON rowlock.part", "SELECT ON rowlock.floor"})
        BOOST_TEST(none.remedy.find(part) != std::string::npos, none.remedy);
    (void)sql("GRANT USAGE ON SCHEMA rowlock TO " + role + "; GRANT SELECT ON ALL TABLES IN SCHEMA rowlock TO " + role +
              "; GRANT INSERT, UPDATE ON rowlock.lock TO " + role);
    const auto some = find(theirs, "privileges");
    BOOST_TEST(some.remedy.ends_with("INSERT ON rowlock.part, UPDATE (one) ON rowlock.floor, UPDATE ON rowlock.part"),
               some.remedy);
    (void)sql("GRANT INSERT, UPDATE ON rowlock.part TO " + role + "; GRANT UPDATE (one) ON rowlock.floor TO " + role);
    check(theirs, "privileges", severity::good, "may lock, but not break or purge");
    check(theirs, "schema", severity::good, "0002_waits");
    (void)sql("REVOKE EXECUTE ON FUNCTION rowlock.wait_in_line FROM public");
    BOOST_TEST(find(theirs, "privileges").remedy.ends_with("EXECUTE ON FUNCTION rowlock.wait_in_line"));
    (void)sql("GRANT EXECUTE ON FUNCTION rowlock.wait_in_line TO " + role);
    check(theirs, "privileges", severity::good, "may lock, but not break or purge");
}

BOOST_AUTO_TEST_CASE(settings_of_the_database) {
    set("statement_timeout = '30s'");
    set("idle_session_timeout = '1min'");
    set("default_transaction_isolation = 'serializable'");
    set("synchronous_commit = off");
    check(lease, "timeouts", severity::advice, "idle_session_timeout = 60000 ms, statement_timeout = 30000 ms");
    check(advisory, "isolation", severity::advice, "serializable");
    check(lease, "durability", severity::advice, "synchronous_commit is off");
    set("default_transaction_read_only = on");
    check(lease, "read-only", severity::problem, "default_transaction_read_only");
    check(advisory, "read-only", severity::advice, "default_transaction_read_only");
}

BOOST_AUTO_TEST_CASE(a_server_that_does_not_keep_what_it_commits) {
    auto& careless = postgres_server::shared();
    const auto there = careless.new_database();
    check("postgresql+lease:" + careless.uri(there), "durability", severity::problem, "fsync is off");
    check("postgresql+advisory:" + careless.uri(there), "durability", severity::advice, "fsync is off");
}

BOOST_AUTO_TEST_CASE(tables_that_were_altered) {
    (void)sql("CREATE INDEX too_many ON rowlock.lock (expires_at)");
    check(lease, "updates", severity::advice, "too_many");
    (void)sql("DROP INDEX rowlock.too_many; ALTER TABLE rowlock.lock RESET (fillfactor)");
    check(lease, "updates", severity::advice, "half empty");
    (void)sql("ALTER TABLE rowlock.lock SET UNLOGGED");
    check(lease, "tables", severity::problem, "unlogged: lock");
}

BOOST_AUTO_TEST_CASE(a_table_that_grew) {
    // 2000 updates that an old snapshot keeps from being done in place.
    auto locks = rowlock::open(lease);
    locks.acquire("n").release();
    check(lease, "updates", severity::good, "KB");
    (void)sql("ALTER TABLE rowlock.lock SET (autovacuum_enabled = off)");
    (void)sql("CREATE INDEX for_now ON rowlock.lock (expires_at)");
    (void)sql(
        "DO $$ BEGIN FOR i IN 1..2000 LOOP UPDATE rowlock.lock SET expires_at = clock_timestamp(); END LOOP; END $$");
    (void)sql("DROP INDEX rowlock.for_now");
    BOOST_TEST(eventually([&] { return find(lease, "updates").level == severity::advice; }));
    check(lease, "updates", severity::advice, "in place");
}

BOOST_AUTO_TEST_CASE(an_old_snapshot) {
    (void)sql("CREATE TABLE t (x int)");
    check(lease, "snapshots", severity::good, "");
    // A lock that is waited for: the statement that waits has a snapshot.
    auto locks = rowlock::open(advisory, {.owner = "the gate"}), others = rowlock::open(advisory, {.owner = "old one"});
    auto gate = locks.acquire("gate");
    std::stop_source stop;
    std::jthread waits{[&] {
        try {
            (void)others.acquire("gate", stop.get_token());
        } catch (const rowlock::error&) {
        }
    }};
    BOOST_TEST(eventually([&] { return locks.status("gate").at(0).waiters.size() == 1; }));
    (void)sql(
        "DO $$ BEGIN FOR i IN 1..1100 LOOP BEGIN INSERT INTO t VALUES (i); EXCEPTION WHEN division_by_zero THEN "
        "NULL; END; END LOOP; END $$");
    check(lease, "snapshots", severity::advice, "old one");
    check(advisory, "snapshots", severity::good, "old one");
    stop.request_stop();
}

BOOST_AUTO_TEST_CASE(a_full_lock_table) {
    // 64 * 300 of them fit; the hash table has some more room.
    auto locks = rowlock::open(advisory);
    check(advisory, "lock table", severity::good, "0 advisory locks, room for at least 19200");
    std::vector<rowlock::lock_handle> held;
    for (int i = 0; i < 9601; ++i) held.push_back(locks.acquire(std::to_string(i)));
    check(advisory, "lock table", severity::problem, "9601 advisory locks");
}

BOOST_AUTO_TEST_CASE(poolers) {
    const auto pooled = server.pooler_uri("transaction", database), kept = server.pooler_uri("session", database);
    check("postgresql+advisory:" + pooled, "pooler", severity::problem, "another session");
    check("postgresql+lease:" + pooled, "pooler", severity::advice, "another session");
    check("postgresql+advisory:" + kept, "pooler", severity::good, "keeps a session");
    const auto all = rowlock::diagnose("postgresql+lease:" + pooled);
    BOOST_TEST(std::count_if(all.begin(), all.end(), [](const auto& f) { return f.level == severity::problem; }) == 0);
}

BOOST_AUTO_TEST_CASE(standbys) {
    const postgres_server standby{postgres_server::standby_of{server}};
    BOOST_TEST(eventually([&] { return sql("SELECT count(*) FROM pg_stat_replication") == "1"; }));
    check(lease, "standbys", severity::advice, "1 connected, 0 synchronous");
    check(advisory, "standbys", severity::good, "1 connected");
    check("postgresql+lease:" + standby.conninfo(database), "standby", severity::problem, "this is a standby");
    (void)server.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'standby'");
    (void)server.sql("postgres", "SELECT pg_reload_conf()");
    BOOST_TEST(eventually([&] { return sql("SELECT sync_state FROM pg_stat_replication") == "sync"; }));
    check(lease, "standbys", severity::good, "1 synchronous");
    (void)server.sql("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
    (void)server.sql("postgres", "SELECT pg_reload_conf()");
    BOOST_TEST(eventually([&] { return sql("SHOW synchronous_standby_names") == ""; }));
}

BOOST_AUTO_TEST_CASE(without_plpgsql) {
    (void)sql("DROP EXTENSION plpgsql CASCADE");
    check(lease, "plpgsql", severity::problem, "nobody can wait");
}

BOOST_AUTO_TEST_SUITE_END()
