// Fencing tokens of advisory locks: what they cost, what happens when one cannot be written, and that none comes again.
#include <boost/test/unit_test.hpp>

#include <functional>
#include <thread>

#include <rowlock/error.hpp>
#include <rowlock/postgres.hpp>
#include <rowlock/rowlock.hpp>
#include <rowlock/schema.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_connection.hpp>
#include <support/postgres_server.hpp>
#include <support/socket_calls.hpp>

using namespace std::chrono_literals;
using rowlock::test::eventually;
using rowlock::test::in_background;
using rowlock::test::postgres_connection;
using rowlock::test::postgres_server;
using rowlock::test::throws;

namespace {

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    std::string url = "postgresql+advisory:" + server.conninfo(database);
    postgres_connection other{server.conninfo(database)};

    fixture() {
        rowlock::open_schema(url).migrate();
        (void)server.new_complaints();
    }

    rowlock::provider open(rowlock::options opt = {}) const {
        opt.fencing = true;
        return rowlock::open(url, std::move(opt));
    }
    std::string locks_held() {
        return other.sql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())");
    }
    // Every way to get a lock in one round trip.
    static std::vector<std::function<bool(rowlock::provider&)>> tries() {
        return {[](rowlock::provider& p) { return p.try_acquire("n").has_value(); },
                [](rowlock::provider& p) {
                    return rowlock::shared_mutex{p, "n"}.try_acquire_shared().has_value();
                },
                [](rowlock::provider& p) {
                    return rowlock::semaphore{p, "n", 2}.try_acquire().has_value();
                },
                [](rowlock::provider& p) {
                    return p.try_acquire_all({"m", "n", "o"}).has_value();
                }};
    }

    // Errors in the moment in which the lock is granted already: as the token is written, or at the commit.
    void break_table(bool at_commit) {
        (void)other.sql(
            std::string{"CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS "
                        "$$ BEGIN RAISE EXCEPTION 'out of order'; END $$; CREATE "} +
            (at_commit
                 ? "CONSTRAINT TRIGGER broken AFTER INSERT OR UPDATE ON rowlock.lock DEFERRABLE INITIALLY DEFERRED"
                 : "TRIGGER broken BEFORE INSERT OR UPDATE ON rowlock.lock") +
            " FOR EACH ROW EXECUTE FUNCTION broken()");
    }
    void mend_table() { (void)other.sql("DROP FUNCTION broken CASCADE"); }
};

std::uint64_t value(const rowlock::lock_handle& h) { return h.token().value().value(); }

}  // namespace

BOOST_FIXTURE_TEST_SUITE(fencing, fixture)

BOOST_AUTO_TEST_CASE(a_cycle_with_a_token_is_two_sends_and_two_receives) {
    auto locks = open();
    rowlock::mutex m{locks, "n"};
    rowlock::shared_mutex s{locks, "s"};
    rowlock::semaphore n{locks, "p", 3};
    const auto count = [](auto acquire) {
        acquire().release();  // prepares the statements
        std::uint64_t last = 0;
        const int sends = rowlock::test::sends, receives = rowlock::test::receives;
        for (int i = 0; i < 10; ++i) {
            auto held = acquire();
            BOOST_TEST(value(held) > last);
            last = value(held);
            held.release();
        }
        BOOST_TEST(rowlock::test::sends - sends == 20);
        BOOST_TEST(rowlock::test::receives - receives == 20);
    };
    count([&] { return m.acquire(); });
    count([&] { return s.acquire_shared(); });
    count([&] { return n.acquire(); });
}

BOOST_AUTO_TEST_CASE(every_share_and_permit_has_a_token_of_its_own) {
    auto locks = open();
    std::vector<rowlock::lock_handle> held;
    for (int i = 0; i < 3; ++i) held.push_back(rowlock::shared_mutex{locks, "s"}.acquire_shared());
    for (int i = 0; i < 3; ++i) held.push_back(rowlock::semaphore{locks, "p", 3}.acquire());
    for (const auto at : {1U, 2U, 4U, 5U}) BOOST_TEST(value(held[at]) > value(held[at - 1]));
    held.clear();
    BOOST_TEST(locks_held() == "0");
}

BOOST_AUTO_TEST_CASE(a_busy_try_writes_nothing) {
    // A server in which nobody else writes to the log.
    postgres_server quiet{
        {"wal_level = minimal", "max_wal_senders = 0", "autovacuum = off", "checkpoint_timeout = 1h"}};
    const auto to = quiet.conninfo("postgres");
    rowlock::open_schema("postgresql:" + to).migrate();
    postgres_connection look{to};
    for (const auto* scheme : {"postgresql+advisory:", "postgresql+lease:"}) {
        auto locks = rowlock::open(scheme + to, {.fencing = true});
        auto others = rowlock::open(scheme + to, {.fencing = true});
        const auto written = [&](auto action) {
            const auto before = look.sql("SELECT pg_current_wal_insert_lsn()");
            action();
            return std::stoll(look.sql("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '" + before + "')"));
        };
        for (const auto& attempt : tries()) {
            BOOST_TEST(attempt(locks));
            BOOST_TEST(attempt(others));
            BOOST_TEST(written([&] { BOOST_TEST(attempt(others)); }) > 0, "the control: a grant does write");
            const auto held = locks.acquire("n");
            long long least = 1;  // somebody may have written all the same, but not each time
            for (int i = 0; i < 5 && least != 0; ++i)
                least = std::min(least, written([&] {
                                     for (int k = 0; k < 20; ++k) BOOST_TEST(!attempt(others));
                                 }));
            BOOST_TEST(least == 0);
        }
    }
}

BOOST_AUTO_TEST_CASE(tokens_need_the_migration_and_nothing_else_does) {
    const auto bare = "postgresql+advisory:" + server.conninfo(server.new_database());
    BOOST_CHECK_THROW((void)rowlock::open(bare, {.fencing = true}), rowlock::schema_error);
    auto locks = rowlock::open(bare);
    BOOST_TEST(!locks.traits().tokens);
    BOOST_TEST(!locks.acquire("n").token());
    BOOST_TEST(locks.try_acquire_all({"a", "b"}).has_value());
    BOOST_CHECK_THROW((void)locks.purge(0ms), rowlock::unsupported);
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(what_cannot_be_written_is_not_held) {
    for (const bool at_commit : {false, true}) {
        break_table(at_commit);
        auto locks = open();
        for (const auto& attempt : tries()) {
            BOOST_CHECK_EXCEPTION((void)attempt(locks), rowlock::error, [](const rowlock::error& e) {
                return std::string_view{e.what()}.find("out of order") != std::string_view::npos;
            });
            BOOST_TEST(locks_held() == "0");
        }
        // The control: a lock that was the session's from the start would stay.
        postgres_connection naive{server.conninfo(database)};
        BOOST_CHECK_THROW((void)naive.sql("WITH got AS (SELECT pg_try_advisory_lock(1) AS granted) "
                                          "INSERT INTO rowlock.lock (name, token, granted_at) "
                                          "SELECT 'naive', 1, now() FROM got WHERE granted"),
                          std::runtime_error);
        BOOST_TEST(naive.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()") ==
                   "1");
        mend_table();
        for (const auto& attempt : tries()) BOOST_TEST(attempt(locks));
    }
}

BOOST_AUTO_TEST_CASE(a_second_share_that_fails_leaves_the_first_one_alone) {
    auto locks = open();
    rowlock::shared_mutex s{locks, "s"};
    rowlock::semaphore p{locks, "p", 3};
    auto share = s.acquire_shared();
    auto permit = p.acquire();
    const auto before = locks_held();
    for (const bool at_commit : {false, true}) {
        break_table(at_commit);
        BOOST_CHECK_THROW((void)s.try_acquire_shared(), rowlock::error);
        BOOST_CHECK_THROW((void)p.try_acquire(), rowlock::error);
        mend_table();
        BOOST_TEST(locks_held() == before);
    }
    BOOST_CHECK_NO_THROW(share.verify());
    share.release();
    permit.release();
    BOOST_TEST(locks_held() == "0", "each was counted as often as it was held");
    BOOST_TEST(open().try_acquire_all({"p", "s"}).has_value());
}

BOOST_AUTO_TEST_CASE(a_wait_whose_token_cannot_be_written_ends_with_the_error) {
    auto locks = open(), others = open();
    auto held = std::make_optional(others.acquire("n"));
    auto waits = in_background([&] { return throws<rowlock::connection_error>([&] { (void)locks.acquire("n"); }); });
    BOOST_TEST(eventually([&] { return locks_held() == "2"; }));
    break_table(false);
    held.reset();
    BOOST_TEST(waits.get());
    BOOST_TEST(locks_held() == "0");
    mend_table();
    BOOST_TEST(locks.try_acquire("n").has_value());
}

BOOST_AUTO_TEST_CASE(a_wait_brings_a_token_of_its_time) {
    auto locks = open(), others = open();
    for (int i = 0; i < 5; ++i) {
        auto held = std::make_optional(others.acquire("n"));
        std::optional<rowlock::lock_handle> next;
        std::jthread waits{[&] { next = locks.acquire("n"); }};
        BOOST_TEST(eventually([&] { return locks_held() == "2"; }));
        const auto before = value(*held);
        held.reset();
        waits.join();
        BOOST_TEST(value(*next) == before + 1);
    }
}

BOOST_AUTO_TEST_CASE(the_grants_that_leases_need_are_enough) {
    const auto role = "fencer_" + database;
    (void)other.sql("CREATE ROLE " + role + " LOGIN; GRANT USAGE ON SCHEMA rowlock TO " + role +
                    "; GRANT SELECT ON ALL TABLES IN SCHEMA rowlock TO " + role +
                    "; GRANT INSERT, UPDATE ON rowlock.lock TO " + role + "; GRANT UPDATE (one) ON rowlock.floor TO " +
                    role);
    for (const auto* scheme : {"postgresql+advisory:", "postgresql+lease:"}) {
        if (scheme == std::string_view{"postgresql+lease:"})
            (void)other.sql("GRANT INSERT, UPDATE ON rowlock.part TO " + role);
        auto locks = rowlock::open(scheme + server.conninfo(database) + " user=" + role, {.fencing = true});
        for (const auto& attempt : tries()) BOOST_TEST(attempt(locks));
        BOOST_CHECK_EXCEPTION((void)locks.purge(0ms), rowlock::connection_error,
                              [](const auto& e) { return e.sqlstate() == "42501"; });
    }
}

BOOST_AUTO_TEST_CASE(missing_rights_are_told_and_nothing_is_held) {
    (void)other.sql(
        "DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        "GRANT USAGE ON SCHEMA rowlock TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA rowlock TO reader");
    auto locks = rowlock::open(url + " user=reader", {.fencing = true});
    BOOST_CHECK_EXCEPTION((void)locks.try_acquire("n"), rowlock::connection_error,
                          [](const auto& e) { return e.sqlstate() == "42501"; });
    BOOST_TEST(locks_held() == "0");
}

BOOST_AUTO_TEST_CASE(a_read_only_database_is_told_and_nothing_is_held) {
    (void)other.sql("ALTER DATABASE " + database + " SET default_transaction_read_only = on");
    auto locks = open();
    for (const auto& attempt : tries())
        BOOST_CHECK_EXCEPTION((void)attempt(locks), rowlock::connection_error,
                              [](const auto& e) { return e.sqlstate() == "25006"; });
    BOOST_TEST(locks_held() == "0");
}

BOOST_AUTO_TEST_CASE(tables_that_are_gone_are_told_and_nothing_is_held) {
    auto locks = open();
    (void)locks.acquire("n");
    (void)other.sql("DROP SCHEMA rowlock CASCADE");
    for (const auto& attempt : tries()) BOOST_CHECK_THROW((void)attempt(locks), rowlock::schema_error);
    BOOST_TEST(locks_held() == "0");
}

BOOST_AUTO_TEST_CASE(a_session_that_dies_while_it_writes_takes_the_lock_along) {
    auto locks = open();
    const auto before = value(locks.acquire("n"));
    (void)other.sql("BEGIN; UPDATE rowlock.lock SET owner = owner");
    postgres_connection look{server.conninfo(database)};
    auto killed = in_background([&] {
        return eventually([&] {
            return look.sql(
                       "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'transactionid' AND NOT "
                       "granted") == "1";
        });
    });
    BOOST_CHECK_THROW((void)locks.try_acquire("n"), rowlock::connection_error);
    BOOST_TEST(killed.get());
    (void)other.sql("ROLLBACK");
    BOOST_TEST(eventually([&] { return locks_held() == "0"; }));
    BOOST_TEST(value(locks.acquire("n")) > before);
}

BOOST_AUTO_TEST_CASE(leases_of_the_same_name_share_the_counter) {
    auto locks = open(), leases = rowlock::open("postgresql+lease:" + server.conninfo(database));
    std::uint64_t last = 0;
    for (int i = 0; i < 3; ++i)
        for (auto* who : {&locks, &leases}) {
            const auto got = value(who->acquire("n"));
            BOOST_TEST(got == last + 1);
            last = got;
        }
}

BOOST_AUTO_TEST_CASE(a_purge_that_is_under_way_takes_no_token_back) {
    auto locks = open();
    std::uint64_t last = 0;
    for (int i = 0; i < 10; ++i) last = value(locks.acquire("n"));
    // As purge() does it, stopped in the middle.
    const auto purge_half = [&](const std::string& name) {
        (void)other.sql("BEGIN; SELECT FROM rowlock.floor FOR UPDATE; DELETE FROM rowlock.lock WHERE name = '" + name +
                        "'; UPDATE rowlock.floor SET token = greatest(token, 10)");
    };
    const auto in_the_middle = [&](const std::string& name, const auto& grant) {
        purge_half(name);
        std::uint64_t got = 0;
        postgres_connection look{server.conninfo(database)};
        std::jthread granting{[&] { got = grant(); }};
        BOOST_TEST(eventually([&] {
            return look.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted") == "1";
        }));
        (void)other.sql("COMMIT");
        granting.join();
        return got;
    };
    BOOST_TEST(in_the_middle("n", [&] { return value(locks.acquire("n")); }) > last);
    // The control: who reads the floor as it was when the statement began.
    (void)other.sql(
        "UPDATE rowlock.floor SET token = 0; INSERT INTO rowlock.lock (name, token, granted_at) "
        "VALUES ('control', 10, now())");
    postgres_connection naive{server.conninfo(database)};
    BOOST_TEST(in_the_middle("control", [&] {
                   return std::stoull(
                       naive.sql("INSERT INTO rowlock.lock AS l (name, token, granted_at) "
                                 "SELECT 'control', f.token + 1, now() FROM rowlock.floor AS f "
                                 "ON CONFLICT (name) DO UPDATE SET token = l.token + 1 RETURNING token"));
               }) <= 10U);
}

BOOST_AUTO_TEST_CASE(purge_spares_who_holds_and_the_floor_spares_the_rest) {
    auto locks = open(), others = open(), leases = rowlock::open("postgresql+lease:" + server.conninfo(database));
    std::uint64_t last = 0;
    for (int i = 0; i < 5; ++i) last = value(locks.acquire("n"));
    for (const auto& hold : std::vector<std::function<rowlock::lock_handle()>>{
             [&] { return locks.acquire("n"); },
             [&] {
                 return rowlock::shared_mutex{locks, "n"}.acquire_shared();
             },
             [&] {
                 return rowlock::semaphore{locks, "n", 2}.acquire();
             }}) {
        const auto held = hold();
        BOOST_TEST(value(held) > last);
        last = value(held);
        for (auto* who : {&locks, &others, &leases}) BOOST_TEST(who->purge(0ms) == 0U);
    }
    // Even if one got through: the next token is above the floor.
    const auto held = locks.acquire("n");
    (void)other.sql(
        "WITH gone AS (DELETE FROM rowlock.lock RETURNING token) "
        "UPDATE rowlock.floor SET token = (SELECT max(token) FROM gone)");
    BOOST_TEST(value(rowlock::semaphore{locks, "other", 2}.acquire()) > value(held));
}

// What is lost in an immediate stop is what had not been handed to the operating system, so this needs no fsync.
BOOST_AUTO_TEST_CASE(tokens_survive_a_crash_of_the_server) {
    postgres_server crashing{{"synchronous_commit = off", "wal_writer_delay = 10s", "max_connections = 20"}};
    const auto to = crashing.conninfo("postgres");
    rowlock::open_schema("postgresql:" + to).migrate();
    (void)postgres_connection{to}.sql("CREATE TABLE counter (token int); INSERT INTO counter VALUES (0); CHECKPOINT");
    auto locks = rowlock::open("postgresql+advisory:" + to, {.fencing = true});
    std::uint64_t last = 0, several_last = 0;
    int counter = 0, lost = 0;
    for (int crash = 0; crash < 5; ++crash) {
        {
            postgres_connection control{to};
            for (int i = 0; i < 5; ++i) {
                const auto held = locks.acquire("n");
                BOOST_TEST(value(held) > last);
                last = value(held);
                const auto all = locks.try_acquire_all({"a", "b"});
                BOOST_REQUIRE(all.has_value());
                BOOST_TEST(value(all->at(1)) > several_last);
                several_last = value(all->at(1));
            }
            // The control: the same counter with the server's default.
            for (int i = 0; i < 5; ++i)
                counter = std::stoi(control.sql("UPDATE counter SET token = token + 1 RETURNING token"));
        }
        crashing.restart("immediate");
        const int found = std::stoi(postgres_connection{to}.sql("SELECT token FROM counter"));
        lost += found < counter;
        counter = found;
        BOOST_TEST(eventually([&] {
            try {
                const auto held = locks.try_acquire("n");
                BOOST_TEST(value(held.value()) > last);
                last = value(*held);
                return true;
            } catch (const rowlock::connection_error&) {
                return false;
            }
        }));
    }
    BOOST_TEST_MESSAGE("the control lost " << lost << " of 5");
    BOOST_TEST(lost > 0, "the control: commits that nobody waits for are lost");
}

BOOST_AUTO_TEST_SUITE_END()
