// Fenced transactions, with real renewals and a holder that is paused past its lease.
#include <boost/test/unit_test.hpp>

#include <sys/wait.h>
#include <unistd.h>
#include <pqxx/pqxx>

#include <csignal>

#include <rowlock/error.hpp>
#include <rowlock/memory.hpp>
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
using rowlock::test::postgres_server;
using rowlock::test::slack;
using rowlock::test::throws;
using steady = std::chrono::steady_clock;
namespace postgres = rowlock::postgres;

namespace {

constexpr const char* levels[] = {"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"};

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    std::string conninfo = server.conninfo(database);
    pqxx::connection mine{conninfo};

    fixture() {
        postgres::migrate(mine);
        (void)sql("CREATE TABLE stock (n int); INSERT INTO stock VALUES (0)");
        (void)server.new_complaints();
    }

    rowlock::provider open(rowlock::options opt = {}) const { return postgres::leases(conninfo, std::move(opt)); }
    std::string sql(const std::string& text) const { return server.sql(database, text); }
    // Ends the lease past the library.
    void expire() const {
        (void)sql(
            "UPDATE rowlock.lock SET expires_at = clock_timestamp() - interval '1s' WHERE expires_at > "
            "clock_timestamp(); UPDATE rowlock.part SET expires_at = clock_timestamp() - interval '1s' "
            "WHERE expires_at > clock_timestamp()");
    }
    static void set_level(pqxx::work& tx, const char* level) {
        tx.exec(std::string{"SET TRANSACTION ISOLATION LEVEL "} + level);
    }
    // A transaction with a snapshot, where the level keeps one.
    static void look(pqxx::work& tx) { tx.exec("SELECT count(*) FROM stock"); }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(fenced, fixture)

BOOST_AUTO_TEST_CASE(held_it_passes_in_every_mode_and_level) {
    auto locks = open();
    for (const auto* level : levels) {
        rowlock::shared_mutex s{locks, "s"};
        rowlock::upgrade_mutex u{locks, "u"};
        rowlock::semaphore n{locks, "n", 2};
        auto exclusive = locks.acquire("x");
        auto shared = s.acquire_shared();
        auto upgrade = u.acquire_upgrade();
        auto permit = n.acquire();
        pqxx::work tx{mine};
        set_level(tx, level);
        for (const auto* held : {&exclusive, &shared, &upgrade, &permit}) postgres::fence(tx, *held);
        tx.exec("UPDATE stock SET n = n + 1");
        tx.commit();
        BOOST_TEST(upgrade.try_upgrade_for(1s));
        pqxx::work second{mine};
        postgres::fence(second, upgrade);
    }
    BOOST_TEST(sql("SELECT n FROM stock") == "3");
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(held_it_is_one_round_trip) {
    auto locks = open();
    auto held = locks.acquire("n");
    pqxx::work tx{mine};
    tx.exec("SELECT 1");
    const int sends = rowlock::test::sends, receives = rowlock::test::receives;
    postgres::fence(tx, held);
    BOOST_TEST(rowlock::test::sends - sends == 1);
    BOOST_TEST(rowlock::test::receives - receives == 1);
}

// They share the counter, and do not exclude each other.
BOOST_AUTO_TEST_CASE(beside_an_advisory_lock_of_the_same_name_it_passes) {
    auto held = open().acquire("n");
    const auto advisory = postgres::advisory(conninfo, {.fencing = true}).acquire("n");
    BOOST_TEST((advisory.token() > held.token()));
    pqxx::work tx{mine};
    BOOST_CHECK_NO_THROW(postgres::fence(tx, held));
}

// What a failover to a standby that lagged behind leaves.
BOOST_AUTO_TEST_CASE(with_an_older_counter_it_is_refused) {
    auto held = open().acquire("n");
    {
        pqxx::work tx{mine};
        tx.exec("UPDATE rowlock.lock SET token = token - 1");
        tx.commit();
    }
    pqxx::work tx{mine};
    BOOST_CHECK_THROW(postgres::fence(tx, held), rowlock::lock_lost);
}

BOOST_AUTO_TEST_CASE(taken_over_it_is_refused) {
    auto locks = open(), others = open();
    for (const auto* level : levels) {
        auto held = locks.acquire("n");
        pqxx::work tx{mine};
        set_level(tx, level);
        look(tx);
        expire();
        auto theirs = others.try_acquire("n");
        BOOST_REQUIRE(theirs.has_value());
        BOOST_CHECK_THROW(postgres::fence(tx, held), rowlock::lock_lost);
        if (std::string_view{level} == "READ COMMITTED") {
            tx.exec("SELECT 1");  // goes on, if somebody wants to
            BOOST_CHECK_THROW(postgres::fence(tx, held), rowlock::lock_lost);
        }
    }
}

// The lease has ended, or was broken or given back, and nobody has taken it.
BOOST_AUTO_TEST_CASE(expired_broken_or_released_it_is_refused) {
    auto locks = open();
    for (const auto* level : levels) {
        auto held = locks.acquire("expired");
        pqxx::work tx{mine};
        set_level(tx, level);
        expire();
        BOOST_CHECK_THROW(postgres::fence(tx, held), rowlock::lock_lost);
        BOOST_TEST(held.lost().stop_requested(), "the handle knows by now");
    }
    for (const auto* level : levels) {
        auto broken = locks.acquire("broken"), released = locks.acquire("released");
        BOOST_TEST(locks.break_lock("broken", "test"));
        released.release();
        pqxx::work tx{mine};
        set_level(tx, level);
        BOOST_CHECK_THROW(postgres::fence(tx, broken), rowlock::lock_lost);
        BOOST_CHECK_THROW(postgres::fence(tx, released), rowlock::lock_lost);
        tx.exec("SELECT 1");
    }
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(broken_while_it_is_pinned_a_share_or_permit_keeps_others_out) {
    auto locks = open(), others = open();
    const auto pinned = [&](rowlock::lock_handle held) {
        pqxx::work tx{mine};
        postgres::fence(tx, held);
        BOOST_TEST(locks.break_lock("n", "test"));
        BOOST_TEST(!others.try_acquire("n"));
        tx.commit();
        BOOST_TEST(others.try_acquire("n").has_value());
    };
    pinned(rowlock::shared_mutex{locks, "n"}.acquire_shared());
    pinned(rowlock::upgrade_mutex{locks, "n"}.acquire_upgrade());
    pinned(rowlock::semaphore{locks, "n", 3}.acquire());
}

// A snapshot that shows it as held: if the fence passes, then nobody has it, nor gets it before the end.
BOOST_AUTO_TEST_CASE(broken_behind_an_old_snapshot_nobody_can_take_it) {
    auto locks = open(), others = open();
    for (const auto* level : levels) {
        auto held = locks.acquire("n");
        pqxx::work tx{mine};
        set_level(tx, level);
        look(tx);
        BOOST_TEST(locks.break_lock("n", "test"));
        if (throws<rowlock::lock_lost>([&] { postgres::fence(tx, held); })) continue;
        BOOST_TEST(!others.try_acquire("n"));
        tx.commit();
        BOOST_TEST(others.try_acquire("n").has_value());
    }
}

BOOST_AUTO_TEST_CASE(renewals_pass_while_it_is_pinned_and_an_older_snapshot_is_no_obstacle) {
    for (const auto* level : levels) {
        const auto heard = std::make_shared<rowlock::test::recorder>();
        auto locks = open({.ttl = 600ms * rowlock::test::slowness, .events = heard});
        auto held = locks.acquire("n");
        pqxx::work tx{mine};
        set_level(tx, level);
        look(tx);
        BOOST_TEST(heard->heard("renewed", 4));  // the snapshot's version of the row has run out by now
        postgres::fence(tx, held);
        const int before = heard->count("renewed");
        BOOST_TEST(heard->heard("renewed", before + 4), "more than a time to live, pinned");
        BOOST_TEST(!held.lost().stop_requested());
        tx.exec("UPDATE stock SET n = n + 1");
        tx.commit();
    }
    BOOST_TEST(sql("SELECT n FROM stock") == "3");
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(while_it_is_pinned_a_take_is_busy_at_once) {
    auto locks = open(), others = open();
    rowlock::shared_mutex s{locks, "s"}, t{others, "s"};
    for (const auto* level : levels) {
        auto held = locks.acquire("n");
        auto shared = s.acquire_shared();
        pqxx::work tx{mine};
        set_level(tx, level);
        postgres::fence(tx, held);
        postgres::fence(tx, shared);
        expire();
        const auto before = steady::now();
        BOOST_TEST(!others.try_acquire("n"));
        BOOST_TEST(!t.try_acquire());
        BOOST_TEST((steady::now() - before < slack));
        tx.commit();
        BOOST_TEST(others.try_acquire("n").has_value());
        BOOST_TEST(t.try_acquire().has_value());
    }
}

// Two processes: one is stopped with the lock in its hands until another has taken it over.
BOOST_AUTO_TEST_CASE(a_paused_holder_is_refused_and_without_the_fence_it_overwrites) {
    const auto write = [](pqxx::connection& c, const rowlock::lock_handle* held, int n) {
        pqxx::work tx{c};
        if (held) postgres::fence(tx, *held);
        tx.exec("UPDATE stock SET n = " + std::to_string(n));
        tx.commit();
    };
    for (const bool fenced : {true, false}) {
        const pid_t paused = fork();
        if (paused == 0) {
            int status = 2;
            try {
                pqxx::connection c{conninfo};
                const auto held = open({.ttl = 200ms}).acquire("n");
                std::raise(SIGSTOP);
                status = throws<rowlock::lock_lost>([&] { write(c, fenced ? &held : nullptr, 1); }) ? 0 : 1;
            } catch (const std::exception&) {
            }
            _exit(status);
        }
        int status = 0;
        waitpid(paused, &status, WUNTRACED);
        BOOST_REQUIRE(WIFSTOPPED(status));
        {
            const auto held = open().acquire("n");
            write(mine, &held, 7);
        }
        kill(paused, SIGCONT);
        waitpid(paused, &status, 0);
        BOOST_TEST(WEXITSTATUS(status) == (fenced ? 0 : 1));
        BOOST_TEST(sql("SELECT n FROM stock") == (fenced ? "7" : "1"));
    }
}

BOOST_AUTO_TEST_CASE(acquired_after_the_snapshot_it_cannot_be_pinned) {
    auto locks = open();
    for (const auto* level : {"REPEATABLE READ", "SERIALIZABLE"}) {
        pqxx::work tx{mine};
        set_level(tx, level);
        look(tx);
        const auto held = locks.acquire("n");
        BOOST_CHECK_EXCEPTION(postgres::fence(tx, held), rowlock::connection_error,
                              [](const auto& e) { return e.sqlstate() == "40001"; });
    }
}

BOOST_AUTO_TEST_CASE(misuse_says_what_to_do) {
    auto locks = open();
    auto held = locks.acquire("n");
    {
        pqxx::nontransaction none{mine};
        BOOST_CHECK_THROW(postgres::fence(none, held), std::logic_error);
    }
    pqxx::work tx{mine};
    auto elsewhere = rowlock::memory::make().acquire("n");
    BOOST_CHECK_THROW(postgres::fence(tx, elsewhere), std::invalid_argument);
    auto advisory = postgres::advisory(conninfo).acquire("n");
    BOOST_CHECK_THROW(postgres::fence(tx, advisory), rowlock::unsupported);
    auto moved = std::move(held);
    BOOST_CHECK_THROW(postgres::fence(tx, held), std::logic_error);
    postgres::fence(tx, moved);
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(without_tables_it_is_an_error_of_its_own) {
    auto locks = open();
    const auto held = locks.acquire("n");
    pqxx::connection bare{server.conninfo(server.new_database())};
    pqxx::work tx{bare};
    BOOST_CHECK_THROW(postgres::fence(tx, held), rowlock::schema_error);
}

BOOST_AUTO_TEST_CASE(through_a_transaction_pooler) {
    const auto pooled = server.pooler_conninfo("transaction", database);
    BOOST_REQUIRE(eventually([&] { return !throws<pqxx::broken_connection>([&] { pqxx::connection{pooled}; }); }));
    pqxx::connection c{pooled};
    auto locks = postgres::leases(pooled), others = open();
    auto held = locks.acquire("n");
    for (int i = 0; i < 3; ++i) {
        pqxx::work tx{c};
        postgres::fence(tx, held);
        tx.commit();
    }
    expire();
    pqxx::work tx{c};
    BOOST_CHECK_THROW(postgres::fence(tx, held), rowlock::lock_lost);
}

BOOST_AUTO_TEST_CASE(leases_on_a_connection_that_is_in_a_transaction) {
    pqxx::work tx{mine};
    tx.exec("UPDATE stock SET n = 1");
    auto locks = postgres::leases_on(mine);
    auto held = locks.acquire("n");
    postgres::fence(tx, held);
    tx.commit();
    BOOST_TEST(!open().try_acquire("n"));
    pqxx::work second{mine};
    postgres::fence(second, held);
    second.abort();
    BOOST_TEST(!open().try_acquire("n"), "it does not go with a rollback");
    held.verify();
}

BOOST_AUTO_TEST_SUITE_END()
