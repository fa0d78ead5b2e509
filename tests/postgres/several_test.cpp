// Several names at once against a real server: one round trip, all or none, also when sessions die and answers are
// lost.
#include <boost/test/unit_test.hpp>

#include <algorithm>
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
using steady = std::chrono::steady_clock;

namespace {

struct kind {
    const char* scheme;
    bool fencing;
};
constexpr kind kinds[] = {{"postgresql+advisory:", false}, {"postgresql+advisory:", true}, {"postgresql+lease:", true}};

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    postgres_connection other{server.conninfo(database)};
    std::vector<std::string> names;

    fixture() {
        rowlock::open_schema("postgresql:" + server.conninfo(database)).migrate();
        for (int i = 0; i < 100; ++i) names.push_back("n" + std::to_string(100 + i));
        (void)server.new_complaints();
    }
    rowlock::provider open(const kind& k, rowlock::options opt = {}) const {
        opt.fencing = k.fencing;
        return rowlock::open(k.scheme + server.conninfo(database), std::move(opt));
    }
    std::string advisory_locks() {
        return other.sql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())");
    }
    std::string leases() { return other.sql("SELECT count(*) FROM rowlock.lock WHERE expires_at > now()"); }
    bool somebody_waits(postgres_connection& look, int count = 1) {
        return eventually([&] {
            return look.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted") ==
                   std::to_string(count);
        });
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(several, fixture)

BOOST_AUTO_TEST_CASE(a_hundred_names_are_one_send_and_one_receive) {
    for (const auto& k : kinds) {
        auto locks = open(k), others = open(k);
        const auto calls = [&](auto action) {
            const int sends = rowlock::test::sends, receives = rowlock::test::receives;
            action();
            return std::to_string(rowlock::test::sends - sends) + " " +
                   std::to_string(rowlock::test::receives - receives);
        };
        (void)locks.try_acquire_all({"prepares", "the statement"});
        (void)others.try_acquire_all({"prepares", "the statement"});
        std::optional<std::vector<rowlock::lock_handle>> all;
        for (int i = 0; i < 3; ++i) {
            all.reset();
            BOOST_TEST(calls([&] { all = locks.try_acquire_all(names); }) == "1 1", k.scheme);
            BOOST_REQUIRE(all.has_value());
            BOOST_TEST(all->size() == 100U);
            bool busy = false;
            BOOST_TEST(calls([&] { busy = !others.try_acquire_all(names); }) == "1 1", k.scheme);
            BOOST_TEST(busy);
        }
        BOOST_TEST(calls([&] { all.reset(); }) == "100 100", "the control: one by one");
        BOOST_TEST(advisory_locks() == "0");
        BOOST_TEST(leases() == "0");
    }
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(a_busy_one_leaves_the_others_alone) {
    for (const auto& k : kinds) {
        auto locks = open(k), others = open(k);
        for (const auto* busy : {"n100", "n150", "n199"}) {
            auto held = locks.acquire(busy);
            const auto before = advisory_locks();
            BOOST_TEST(!others.try_acquire_all(names));
            BOOST_TEST(advisory_locks() == before);
            BOOST_TEST(leases() == (locks.traits().leases ? "1" : "0"));
            held.release();
            BOOST_TEST(others.try_acquire_all(names).has_value());
        }
    }
}

BOOST_AUTO_TEST_CASE(all_go_with_their_session) {
    for (const auto& k : {kinds[0], kinds[1]}) {
        auto locks = open(k);
        const auto all = locks.try_acquire_all(names).value();
        (void)other.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()");
        BOOST_TEST(eventually([&] {
            return std::all_of(all.begin(), all.end(), [](const auto& h) { return h.lost().stop_requested(); });
        }));
        BOOST_TEST(open(k).try_acquire_all(names).has_value());
    }
}

BOOST_AUTO_TEST_CASE(no_room_for_all_of_them_leaves_none) {
    postgres_server small{{"max_locks_per_transaction = 10", "max_connections = 10", "max_worker_processes = 0",
                           "max_wal_senders = 0", "autovacuum = off"}};
    const auto to = small.conninfo("postgres");
    auto locks = rowlock::open("postgresql+advisory:" + to);
    std::vector<std::string> many;
    for (int i = 0; i < 5000; ++i) many.push_back(std::to_string(i));
    BOOST_CHECK_EXCEPTION((void)locks.try_acquire_all(many), rowlock::connection_error,
                          [](const auto& e) { return e.sqlstate() == "53200"; });
    BOOST_TEST(postgres_connection{to}.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == "0");
    BOOST_TEST(locks.try_acquire_all({"a", "b"}).has_value());
}

// One of the names is being inserted by somebody else, who gets it: the rest was taken, and is given back.
BOOST_AUTO_TEST_CASE(a_lease_that_another_makes_at_the_same_time) {
    auto locks = open(kinds[2]);
    (void)locks.try_acquire_all({"a", "b"});
    postgres_connection look{server.conninfo(database)};
    for (const auto* end : {"COMMIT", "ROLLBACK"}) {
        (void)other.sql(
            "BEGIN; INSERT INTO rowlock.lock (name, token, expires_at, provider, number, granted_at) "
            "VALUES ('new', 7, now() + interval '1 hour', 1, 1, now())");
        auto got = in_background([&] { return locks.try_acquire_all({"a", "b", "new"}); });
        BOOST_TEST(somebody_waits(look));
        (void)other.sql(end);
        BOOST_TEST(got.get().has_value() == (end == std::string{"ROLLBACK"}));
        BOOST_TEST(leases() == (end == std::string{"COMMIT"} ? "1" : "0"));
        BOOST_TEST(advisory_locks() == "0");
        (void)other.sql("DELETE FROM rowlock.lock WHERE name = 'new'");
    }
}

BOOST_AUTO_TEST_CASE(leases_of_the_dead_are_taken_over) {
    auto locks = open(kinds[2]);
    const std::vector<std::string> some{"a", "b", "c"};
    auto all = locks.try_acquire_all(some).value();
    std::vector<rowlock::lock_handle> shares;
    for (const auto* n : {"d", "e"}) shares.push_back(rowlock::shared_mutex{locks, n}.acquire_shared());
    (void)other.sql("UPDATE rowlock.lock SET expires_at = now() - interval '1 second' WHERE expires_at > now()");
    (void)other.sql("UPDATE rowlock.part SET expires_at = now() - interval '1 second' WHERE provider IS NOT NULL");
    const auto next = open(kinds[2]).try_acquire_all({"a", "b", "c", "d", "e"});
    BOOST_REQUIRE(next.has_value());
    for (std::size_t i = 0; i < 3; ++i) {
        BOOST_TEST((next->at(i).token() > all[i].token()));
        BOOST_CHECK_THROW(all[i].verify(), rowlock::lock_lost);
    }
}

// The session is ended while the server is at it: nothing was carried out, and the second question is answered.
BOOST_AUTO_TEST_CASE(a_lost_question_is_asked_again) {
    auto locks = open(kinds[2]);
    (void)locks.try_acquire_all({"a", "b"});
    postgres_connection look{server.conninfo(database)};
    (void)other.sql("BEGIN; INSERT INTO rowlock.lock (name, token, granted_at) VALUES ('new', 7, now())");
    auto got = in_background([&] { return locks.try_acquire_all({"a", "b", "new"}); });
    BOOST_TEST(eventually([&] {
        return look.sql(
                   "SELECT count(pg_terminate_backend(pid)) FROM pg_locks "
                   "WHERE locktype = 'transactionid' AND NOT granted") == "1";
    }));
    BOOST_TEST(somebody_waits(look));
    (void)other.sql("ROLLBACK");
    const auto all = got.get();
    BOOST_REQUIRE(all.has_value());
    BOOST_TEST(leases() == "3");
}

// The server is still at it when the time for its answer is over: what it grants after that ends with its time to live.
BOOST_AUTO_TEST_CASE(a_lost_answer_leaves_nothing_behind) {
    auto locks = open(kinds[2], {.ttl = 2s, .operation_timeout = 300ms});
    postgres_connection look{server.conninfo(database)};
    for (int i = 0; i < 3; ++i) {
        (void)locks.try_acquire_all({"a", "b"});
        (void)other.sql("BEGIN; INSERT INTO rowlock.lock (name, token, granted_at) VALUES ('new', 7, now())");
        auto got = in_background([&] {
            try {
                return !locks.try_acquire_all({"a", "b", "new"});
            } catch (const rowlock::in_doubt_error&) {
                return true;
            }
        });
        BOOST_TEST(somebody_waits(look));
        BOOST_TEST(got.get());
        (void)other.sql("ROLLBACK");
        BOOST_TEST(eventually([&] {
            return other.sql(
                       "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
                       "AND pid <> pg_backend_pid()") == "0";
        }));
        BOOST_TEST(eventually([&] { return leases() == "0" && advisory_locks() == "0"; }));
        (void)other.sql("DELETE FROM rowlock.lock WHERE name = 'new'");
    }
}

// Not a bound, for the machine may be busy with other things; the round trips above are the bound.
BOOST_AUTO_TEST_CASE(how_long_a_hundred_take) {
    const auto median = [](auto action) {
        std::vector<double> all;
        for (int i = 0; i < 31; ++i) {
            const auto started = steady::now();
            const auto held = action();
            all.push_back(std::chrono::duration<double, std::milli>(steady::now() - started).count());
        }
        std::nth_element(all.begin(), all.begin() + 15, all.end());
        return all[15];
    };
    for (const auto& k : kinds) {
        auto locks = open(k);
        const auto together = median([&] { return locks.try_acquire_all(names); });
        const auto singly = median([&] {
            std::vector<rowlock::lock_handle> all;
            for (const auto& n : names) all.push_back(locks.try_acquire(n).value());
            return all;
        });
        BOOST_TEST_MESSAGE(k.scheme << (k.fencing ? " with" : " without") << " tokens: 100 names in " << together
                                    << " ms, one by one " << singly << " ms");
        BOOST_TEST(together < singly);
    }
}

BOOST_AUTO_TEST_SUITE_END()
