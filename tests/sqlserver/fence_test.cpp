// Fenced transactions on a server that speaks TDS; which one, ROWLOCK_TEST_SQLSERVER says.
#include <stdexcept>

#include <rowlock/error.hpp>
#include <rowlock/memory.hpp>

#include "lease_fixture.hpp"

using namespace std::chrono_literals;

namespace rowlock {
namespace {

struct fixture : test::lease_fixture {
    fixture() : lease_fixture{"rowlock_fence_test"} {
        (void)past.sql("DROP TABLE IF EXISTS rowlock_fence_stock; CREATE TABLE rowlock_fence_stock (n int)");
        (void)past.sql("INSERT INTO rowlock_fence_stock VALUES (0)");
    }
    ~fixture() { (void)past.sql("DROP TABLE rowlock_fence_stock"); }

    void begin() { (void)mine.sql("BEGIN TRANSACTION"); }
    void write() { (void)mine.sql("UPDATE rowlock_fence_stock SET n = n + 1"); }
    void commit() { (void)mine.sql("COMMIT"); }
    void roll_back() { (void)mine.sql("IF @@TRANCOUNT > 0 ROLLBACK"); }
    std::string stock() { return past.sql("SELECT n FROM rowlock_fence_stock"); }

    test::sqlserver_connection mine{*test::sqlserver()};
};

const auto if_there = boost::unit_test::precondition(test::has_sqlserver);

}  // namespace

BOOST_AUTO_TEST_SUITE(fenced, *if_there)

BOOST_FIXTURE_TEST_CASE(held_it_passes_in_every_mode, fixture) {
    auto locks = open();
    shared_mutex s{locks, "s"};
    upgrade_mutex u{locks, "u"};
    semaphore n{locks, "n", 2};
    auto exclusive = locks.acquire("x");
    auto shared = s.acquire_shared();
    auto upgrade = u.acquire_upgrade();
    auto permit = n.acquire();
    begin();
    for (const auto* held : {&exclusive, &shared, &upgrade, &permit}) sqlserver::fence(mine.handle(), *held);
    write();
    BOOST_TEST(n.try_acquire().has_value());  // others go on beside it
    commit();
    BOOST_TEST(stock() == "1");
    BOOST_TEST(upgrade.try_upgrade_for(10s));
    begin();
    sqlserver::fence(mine.handle(), upgrade);
    commit();
}

// A holder that outlived its lease writes over what the next one wrote, unless it is fenced.
BOOST_FIXTURE_TEST_CASE(a_stale_holder_cannot_write, fixture) {
    auto locks = open(), others = open();
    for (const bool with_fence : {false, true}) {
        auto stale = locks.acquire("n");
        expire();
        auto next = others.try_acquire("n");
        BOOST_REQUIRE(next.has_value());
        const auto before = stock();
        begin();
        if (with_fence) BOOST_CHECK_THROW(sqlserver::fence(mine.handle(), stale), lock_lost);
        if (with_fence)
            roll_back();
        else {
            write();
            commit();
        }
        BOOST_TEST((stock() == before) == with_fence);
        // The next one is neither fenced out nor pinned by that.
        begin();
        sqlserver::fence(mine.handle(), *next);
        roll_back();
    }
}

BOOST_FIXTURE_TEST_CASE(pinned_it_cannot_be_taken_over_but_is_renewed, fixture) {
    auto locks = open({.ttl = 10s}), others = open();
    auto held = locks.acquire("n");
    begin();
    sqlserver::fence(mine.handle(), held);
    write();
    std::this_thread::sleep_for(11s);  // beyond its time to live
    BOOST_TEST(!held.lost().stop_requested());
    BOOST_CHECK_NO_THROW(held.verify());
    expire();
    BOOST_TEST(!others.try_acquire("n"), "taken over inside a fenced transaction");
    BOOST_TEST(!shared_mutex(others, "n").try_acquire_shared());
    commit();
    BOOST_TEST(others.try_acquire("n", 10s).has_value());
}

BOOST_FIXTURE_TEST_CASE(pinned_who_shares_it_is_not_taken_for_dead, fixture) {
    auto locks = open(), others = open();
    shared_mutex s{locks, "n"};
    auto held = s.acquire_shared();
    begin();
    sqlserver::fence(mine.handle(), held);
    expire();
    BOOST_TEST(!others.try_acquire("n"));
    BOOST_TEST(shared_mutex(others, "n").try_acquire_shared().has_value());
    roll_back();
    BOOST_TEST(others.try_acquire("n", 10s).has_value());
}

BOOST_FIXTURE_TEST_CASE(what_cannot_be_fenced, fixture) {
    auto locks = open();
    auto held = locks.acquire("n");
    BOOST_CHECK_THROW(sqlserver::fence(mine.handle(), held), std::logic_error);  // no transaction
    BOOST_CHECK_THROW(sqlserver::fence(nullptr, held), std::invalid_argument);
    auto elsewhere = memory::make().acquire("n");
    begin();
    BOOST_CHECK_THROW(sqlserver::fence(mine.handle(), elsewhere), std::invalid_argument);
    held.release();
    BOOST_CHECK_THROW(sqlserver::fence(mine.handle(), held), lock_lost);
    roll_back();
}

BOOST_FIXTURE_TEST_CASE(a_snapshot_is_refused_and_left_as_it_is, fixture) {
    auto locks = open();
    auto held = locks.acquire("n");
    (void)mine.sql("SET TRANSACTION ISOLATION LEVEL SNAPSHOT");
    begin();
    (void)mine.sql("SELECT n FROM rowlock_fence_stock");
    BOOST_CHECK_THROW(sqlserver::fence(mine.handle(), held), unsupported);
    BOOST_TEST(mine.sql("SELECT transaction_isolation_level FROM sys.dm_exec_sessions WHERE session_id = @@SPID") ==
               "5");
    BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "1");
    roll_back();
}

BOOST_FIXTURE_TEST_CASE(with_autocommit_off_it_may_be_the_first_statement, fixture) {
    auto locks = open();
    auto held = locks.acquire("n");
    SQLSetConnectAttr(mine.handle(), SQL_ATTR_AUTOCOMMIT, reinterpret_cast<SQLPOINTER>(SQL_AUTOCOMMIT_OFF), 0);
    sqlserver::fence(mine.handle(), held);
    BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "1");
    SQLEndTran(SQL_HANDLE_DBC, mine.handle(), SQL_ROLLBACK);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace rowlock
