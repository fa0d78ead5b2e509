// What row leases in SQL Server do that other back ends do not have to: names, tokens, races of insertion, and many at
// once. On a server that speaks TDS; which one, ROWLOCK_TEST_SQLSERVER says.
#include <atomic>
#include <latch>
#include <set>
#include <thread>
#include <vector>

#include <rowlock/error.hpp>

#include "lease_fixture.hpp"

using namespace std::chrono_literals;

namespace rowlock {
namespace {

struct fixture : test::lease_fixture {
    fixture() : lease_fixture{"rowlock_lease_test"} {}
};

const auto if_there = boost::unit_test::precondition(test::has_sqlserver);

}  // namespace

BOOST_AUTO_TEST_SUITE(leases, *if_there)

// To SQL Server these are equal in pairs: blanks at the end do not count, nor does the case in most collations.
BOOST_FIXTURE_TEST_CASE(names_that_only_look_alike, fixture) {
    auto locks = open();
    std::vector<lock_handle> all;
    const std::string longest(255, 'x');
    for (const auto& n : {std::string{"a"}, std::string{"A"}, std::string{"a "}, std::string{"a  "},
                          std::string{"\u00E4"}, std::string{"a\u0308"}, std::string{"\U0001F6A3"}, std::string{"%"},
                          std::string{"'"}, std::string{"?"}, longest}) {
        auto got = locks.try_acquire(n);
        BOOST_REQUIRE_MESSAGE(got.has_value(), n);
        all.push_back(std::move(*got));
        BOOST_TEST(!locks.try_acquire(n));
    }
    std::set<std::string> seen;
    for (const auto& s : locks.status()) seen.insert(s.name);
    BOOST_TEST(seen.size() == all.size());
    BOOST_TEST(seen.contains("\U0001F6A3"));
    BOOST_TEST(locks.status("a ").size() == 2U);
}

BOOST_FIXTURE_TEST_CASE(tokens_only_grow, fixture) {
    auto locks = open();
    std::optional<fencing_token> last;
    const auto grows = [&] {
        auto h = locks.try_acquire("n");
        BOOST_REQUIRE(h.has_value());
        BOOST_TEST((h->token() > last));
        last = h->token();
        return std::move(*h);
    };
    grows().release();
    {
        auto h = grows();
        expire();
        BOOST_CHECK_THROW(h.verify(), lock_lost);
    }
    {
        auto h = grows();
        BOOST_TEST(locks.break_lock("n", "test"));
        BOOST_CHECK_THROW(h.verify(), lock_lost);
    }
    grows().release();
    BOOST_TEST(locks.purge(0ms) == 1U);
    BOOST_TEST(sql("SELECT COUNT(*) FROM {s}.lock") == "0");
    grows().release();
    shared_mutex s{locks, "n"};
    const auto shared = s.acquire_shared();
    BOOST_TEST((shared.token() > last));
}

// All insert the same row at once. The pin lets one of them in.
BOOST_FIXTURE_TEST_CASE(a_race_to_be_first, fixture) {
    constexpr int threads = 8, rounds = 12;
    std::vector<provider> views;
    for (int i = 0; i < threads; ++i) views.push_back(open());
    for (int round = 0; round < rounds; ++round) {
        const auto n = "race " + std::to_string(round);
        std::latch start{threads};
        std::atomic<int> granted{0};
        std::vector<std::optional<lock_handle>> got(threads);
        {
            std::vector<std::jthread> all;
            for (int i = 0; i < threads; ++i)
                all.emplace_back([&, i] {
                    start.arrive_and_wait();
                    got[static_cast<std::size_t>(i)] = views[static_cast<std::size_t>(i)].try_acquire(n);
                    granted += got[static_cast<std::size_t>(i)].has_value();
                });
        }
        BOOST_TEST(granted == 1);
    }
}

BOOST_FIXTURE_TEST_CASE(many_are_renewed_together, fixture) {
    auto locks = open({.ttl = 12s});
    std::vector<lock_handle> all;
    for (int i = 0; i < 300; ++i) all.push_back(locks.acquire("r" + std::to_string(i)));
    std::this_thread::sleep_for(13s);  // beyond their time to live
    for (const auto& h : all) BOOST_TEST(!h.lost().stop_requested());
    BOOST_TEST(sql("SELECT COUNT(*) FROM {s}.lock WHERE expires_at > SYSUTCDATETIME()") == "300");
}

BOOST_FIXTURE_TEST_CASE(a_database_without_tables, fixture) {
    BOOST_CHECK_THROW((void)sqlserver::leases(*test::sqlserver(), {.schema = "rowlock_nowhere"}), schema_error);
    (void)sql("INSERT INTO {s}.migration (number, name) VALUES (2, '0002_later')");
    BOOST_CHECK_THROW((void)open(), schema_error);
}

BOOST_FIXTURE_TEST_CASE(migrating_on_a_connection_of_the_callers, fixture) {
    for (const std::string way : {"OFF", "ON"}) {
        for (const std::string table : {"lock", "part", "floor", "break", "migration"})
            (void)sql("DROP TABLE {s}.[" + table + "]");
        (void)sql("DROP SCHEMA {s}");
        test::sqlserver_connection mine{*test::sqlserver()};
        (void)mine.sql("SET XACT_ABORT " + way + "; SET NOCOUNT " + way);
        const auto before = mine.sql("SELECT @@OPTIONS");
        sqlserver::migrate(mine.handle(), settings());
        BOOST_TEST(mine.sql("SELECT @@OPTIONS") == before);
        BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "0");
        BOOST_TEST(open().try_acquire("n").has_value());
    }
}

BOOST_FIXTURE_TEST_CASE(migrating_at_once, fixture) {
    for (const std::string table : {"lock", "part", "floor", "break", "migration"})
        (void)sql("DROP TABLE {s}.[" + table + "]");
    (void)sql("DROP SCHEMA {s}");
    std::atomic<int> failed{0};
    {
        std::vector<std::jthread> all;
        for (int i = 0; i < 5; ++i)
            all.emplace_back([&] {
                try {
                    sqlserver::migrate(*test::sqlserver(), settings({.operation_timeout = 60s}));
                } catch (const std::exception& e) {
                    ++failed;
                    BOOST_TEST_MESSAGE(e.what());
                }
            });
    }
    BOOST_TEST(failed == 0);
    BOOST_TEST(sql("SELECT COUNT(*) FROM {s}.migration WHERE checksum IS NOT NULL") == "1");
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace rowlock
