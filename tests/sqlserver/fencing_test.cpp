// Fencing tokens of applocks: whom they are shared with, what happens when one cannot be written, and that none comes
// again. On a server that speaks TDS; which one, ROWLOCK_TEST_SQLSERVER says.
#include <functional>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include <rowlock/error.hpp>

#include <resource_name.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/odbc_connection.hpp>

#include "lease_fixture.hpp"

using namespace std::chrono_literals;

namespace rowlock {
namespace {

using test::eventually;
using test::in_background;
using test::throws;

std::uint64_t value(const lock_handle& h) { return h.token().value().value(); }

// Names of its own, as Babelfish does not keep the applocks of databases apart.
struct fixture : test::lease_fixture {
    fixture() : lease_fixture{"rowlock_fencing_test"} {}

    [[nodiscard]] options fenced(options opt = {}) const {
        opt.fencing = true;
        return settings(std::move(opt));
    }
    [[nodiscard]] provider open_fenced(options opt = {}) const {
        return sqlserver::applock(*test::sqlserver(), fenced(std::move(opt)));
    }
    [[nodiscard]] bool free(const std::string& name) { return past.is_free(sqlserver::resource_of(name)); }

    // Every way to get a lock at once.
    [[nodiscard]] std::vector<std::function<bool(provider&)>> tries(const provider& locks) const {
        std::vector<std::function<bool(provider&)>> all{[this](provider& p) { return p.try_acquire(n).has_value(); },
                                                        [this](provider& p) {
                                                            return shared_mutex{p, n}.try_acquire_shared().has_value();
                                                        },
                                                        [this](provider& p) {
                                                            return semaphore{p, n, 2}.try_acquire().has_value();
                                                        },
                                                        [this](provider& p) {
                                                            return p.try_acquire_all({m, n, n + "+"}).has_value();
                                                        }};
        if (locks.supports(primitive::upgrade_mutex))
            all.emplace_back([this](provider& p) { return upgrade_mutex{p, n}.try_acquire_upgrade().has_value(); });
        return all;
    }
    void break_table() {
        (void)sql("CREATE TRIGGER {s}.broken ON {s}.lock AFTER INSERT, UPDATE AS THROW 50001, 'out of order', 1");
    }
    void mend_table() { (void)sql("DROP TRIGGER {s}.broken"); }
    // Of a provider that has this owner.
    std::string session_of(const std::string& owner) {
        return past.sql("SELECT MAX(session_id) FROM sys.dm_exec_sessions WHERE program_name = '" + owner + "'");
    }

    const std::string n = "fencing test " + std::to_string(std::random_device{}()), m = n + " m";
};

bool is_out_of_order(const error& e) {
    return std::string_view{e.what()}.find("out of order") != std::string_view::npos;
}

const auto if_there = boost::unit_test::precondition(test::has_sqlserver);

}  // namespace

BOOST_AUTO_TEST_SUITE(fencing, *if_there)

BOOST_FIXTURE_TEST_CASE(every_share_permit_and_upgrade_has_a_token_of_its_own, fixture) {
    auto locks = open_fenced();
    BOOST_TEST(locks.traits().tokens);
    std::vector<lock_handle> held;
    for (int i = 0; i < 3; ++i) held.push_back(shared_mutex{locks, n}.acquire_shared());
    for (int i = 0; i < 3; ++i) held.push_back(semaphore{locks, m, 3}.acquire());
    for (const auto at : {1U, 2U, 4U, 5U}) BOOST_TEST(value(held[at]) == value(held[at - 1]) + 1);
    held.clear();
    auto upgrade = upgrade_mutex{locks, n}.acquire_upgrade();
    BOOST_TEST(value(upgrade) == 4U);
    upgrade.upgrade();
    BOOST_TEST(value(upgrade) == 5U);
    upgrade.release();
    BOOST_TEST(free(n));
    BOOST_TEST(free(m));
}

BOOST_FIXTURE_TEST_CASE(leases_of_the_same_name_share_the_counter, fixture) {
    auto locks = open_fenced(), leases = open();
    std::uint64_t last = 0;
    for (int i = 0; i < 3; ++i)
        for (auto* who : {&locks, &leases}) {
            const auto got = value(who->acquire(n));
            BOOST_TEST(got == last + 1);
            last = got;
        }
}

BOOST_FIXTURE_TEST_CASE(a_lease_beside_them_can_be_fenced, fixture) {
    auto leases = open();
    const auto held = leases.acquire(n);
    BOOST_TEST(value(open_fenced().acquire(n)) == value(held) + 1);
    test::odbc_connection mine{*test::sqlserver()};
    (void)mine.sql("BEGIN TRANSACTION");
    BOOST_CHECK_NO_THROW(sqlserver::fence(mine.handle(), held));
    (void)mine.sql("COMMIT");
    expire();
    const auto next = leases.acquire(n);
    (void)mine.sql("BEGIN TRANSACTION");
    BOOST_CHECK_THROW(sqlserver::fence(mine.handle(), held), lock_lost);
    (void)mine.sql("ROLLBACK");
}

BOOST_FIXTURE_TEST_CASE(tokens_need_the_migration_and_nothing_else_does, fixture) {
    const options nowhere{.fencing = true, .schema = "rowlock_nowhere"};
    BOOST_CHECK_THROW((void)sqlserver::applock(*test::sqlserver(), nowhere), schema_error);
    test::odbc_connection mine{*test::sqlserver()};
    BOOST_CHECK_THROW((void)sqlserver::applock_on(mine.handle(), nowhere), schema_error);
    auto locks = sqlserver::applock(*test::sqlserver(), {.schema = nowhere.schema});
    BOOST_TEST(!locks.traits().tokens);
    BOOST_TEST(!locks.acquire(n).token());
    BOOST_CHECK_THROW((void)locks.purge(0ms), unsupported);
}

BOOST_FIXTURE_TEST_CASE(what_cannot_be_written_is_not_held, fixture) {
    test::odbc_connection mine{*test::sqlserver()};
    auto locks = open_fenced(), on_mine = sqlserver::applock_on(mine.handle(), fenced());
    for (auto* who : {&locks, &on_mine}) {
        break_table();
        for (const auto& attempt : tries(*who)) {
            BOOST_CHECK_EXCEPTION((void)attempt(*who), connection_error, is_out_of_order);
            BOOST_TEST(free(n));
            BOOST_TEST(free(m));
        }
        mend_table();
        for (const auto& attempt : tries(*who)) BOOST_TEST(attempt(*who));
    }
    // The control: the error by itself gives nothing back.
    break_table();
    test::sqlserver_connection naive{*test::sqlserver()};
    BOOST_CHECK_THROW((void)naive.sql("EXEC sp_getapplock N'" + n + "', 'Exclusive', 'Session', 0; UPDATE [" + schema +
                                      "].lock SET token = token + 1"),
                      std::runtime_error);
    BOOST_TEST(!free(n));
    mend_table();
}

BOOST_FIXTURE_TEST_CASE(a_second_grant_that_fails_leaves_the_first_one_alone, fixture) {
    auto locks = open_fenced();
    shared_mutex s{locks, n};
    semaphore p{locks, m, 3};
    auto share = s.acquire_shared();
    auto permit = p.acquire();
    auto upgrade = upgrade_mutex{locks, n + "+"}.acquire_upgrade();
    break_table();
    BOOST_CHECK_EXCEPTION((void)s.try_acquire_shared(), connection_error, is_out_of_order);
    BOOST_CHECK_EXCEPTION((void)p.try_acquire(), connection_error, is_out_of_order);
    BOOST_CHECK_EXCEPTION((void)upgrade.try_upgrade(), connection_error, is_out_of_order);
    mend_table();
    BOOST_TEST(!upgrade.lost().stop_requested());
    BOOST_TEST((upgrade.mode() == lock_mode::upgrade));
    upgrade.upgrade();
    BOOST_TEST((upgrade.mode() == lock_mode::exclusive));
    BOOST_CHECK_NO_THROW(share.verify());
    BOOST_CHECK_NO_THROW(permit.verify());
    share.release();
    permit.release();
    upgrade.release();
    BOOST_TEST(free(n), "each was counted as often as it was held");
    BOOST_TEST(free(m));
    BOOST_TEST(free(n + "+"));
}

BOOST_FIXTURE_TEST_CASE(a_wait_whose_token_cannot_be_written_ends_with_the_error, fixture) {
    auto locks = open_fenced(), others = open_fenced();
    auto held = std::make_optional(others.acquire(n));
    auto waits = in_background([&] { return throws<connection_error>([&] { (void)locks.acquire(n); }); });
    BOOST_TEST(!others.try_acquire(n, 500ms), "meanwhile the other one has asked, or will in vain");
    break_table();
    held.reset();
    BOOST_TEST(waits.get());
    BOOST_TEST(free(n));
    mend_table();
    BOOST_TEST(locks.try_acquire(n).has_value());
}

BOOST_FIXTURE_TEST_CASE(a_wait_brings_a_token_of_its_time, fixture) {
    auto locks = open_fenced(), others = open_fenced();
    for (int i = 0; i < 5; ++i) {
        auto held = std::make_optional(others.acquire(n));
        std::optional<lock_handle> next;
        std::jthread waits{[&] { next = locks.acquire(n); }};
        const auto before = value(*held);
        std::this_thread::sleep_for(i * 20ms);  // it waits in the server, or is just about to
        held.reset();
        waits.join();
        BOOST_TEST(value(*next) == before + 1);
    }
}

BOOST_FIXTURE_TEST_CASE(a_session_that_dies_while_it_writes_takes_the_lock_along, fixture) {
    const auto owner = "victim " + std::to_string(std::random_device{}());
    auto locks = open_fenced({.owner = owner}), others = open_fenced();
    const auto before = value(locks.acquire(n));
    test::sqlserver_connection writer{*test::sqlserver()};
    (void)writer.sql("BEGIN TRANSACTION; UPDATE [" + schema + "].lock SET owner = 'writer'");
    auto waits = in_background([&] { return throws<connection_error>([&] { (void)locks.try_acquire(n); }); });
    BOOST_TEST(eventually([&] { return !free(n); }), "it has the lock, and no token yet");
    (void)past.sql("KILL " + session_of(owner));
    BOOST_TEST(waits.get());
    (void)writer.sql("ROLLBACK");
    BOOST_TEST(eventually([&] { return free(n); }));
    BOOST_TEST(value(others.acquire(n)) == before + 1);
}

BOOST_FIXTURE_TEST_CASE(a_purge_that_is_under_way_takes_no_token_back, fixture) {
    auto locks = open_fenced(), leases = open();
    for (auto* who : {&locks, &leases}) {
        const auto last = value(who->acquire(n));
        test::sqlserver_connection purging{*test::sqlserver()};
        // As purge() does it, stopped in the middle.
        (void)purging.sql("BEGIN TRANSACTION; UPDATE [" + schema + "].floor SET token = token; DELETE FROM [" + schema +
                          "].lock; UPDATE [" + schema + "].floor SET token = 10 + " + std::to_string(last));
        auto granted = in_background([&] { return value(who->acquire(n)); });
        std::this_thread::sleep_for(300ms);  // it may come in the middle, or after it
        (void)purging.sql("COMMIT");
        BOOST_TEST(granted.get() > last + 10);
    }
}

// Row and floor are gone while somebody makes the row: a new one must start above what was there in between.
BOOST_FIXTURE_TEST_CASE(a_name_that_came_and_went_meanwhile_leaves_its_floor, fixture) {
    auto locks = open_fenced();
    const auto pause = n + " pause";
    (void)past.sql("EXEC sp_getapplock N'" + pause + "', 'Exclusive', 'Session', 0");
    (void)sql("CREATE TRIGGER {s}.paused ON {s}.lock AFTER UPDATE AS EXEC sp_getapplock N'" + pause +
              "', 'Shared', 'Transaction', -1");
    auto granted = in_background([&] { return value(locks.acquire(n)); });
    BOOST_TEST(eventually([&] { return !free(n); }));
    std::this_thread::sleep_for(300ms);  // until it waits behind its UPDATE, which has found no row
    (void)sql("INSERT INTO {s}.lock (name_key, name, token, granted_at) VALUES (" + test::bytes_literal(n) + ", " +
              test::literal(n) + ", 10, SYSUTCDATETIME()); DELETE FROM {s}.lock; UPDATE {s}.floor SET token = 10");
    (void)past.sql("EXEC sp_releaseapplock N'" + pause + "', 'Session'");
    BOOST_TEST(granted.get() == 11U);
    (void)sql("DROP TRIGGER {s}.paused");
}

BOOST_FIXTURE_TEST_CASE(purge_spares_who_holds_and_the_floor_spares_the_rest, fixture) {
    test::odbc_connection mine{*test::sqlserver()};
    auto locks = open_fenced(), others = open_fenced(), leases = open(),
         on_mine = sqlserver::applock_on(mine.handle(), fenced());
    std::uint64_t last = 0;
    for (int i = 0; i < 5; ++i) last = value(locks.acquire(n));
    for (const auto& hold :
         std::vector<std::function<lock_handle()>>{[&] { return locks.acquire(n); }, [&] { return on_mine.acquire(n); },
                                                   [&] {
                                                       return shared_mutex{locks, n}.acquire_shared();
                                                   },
                                                   [&] {
                                                       return semaphore{locks, n, 2}.acquire();
                                                   }}) {
        const auto held = hold();
        BOOST_TEST(value(held) > last);
        last = value(held);
        for (auto* who : {&locks, &others, &leases, &on_mine}) BOOST_TEST(who->purge(0ms) == 0U);
    }
    BOOST_TEST(on_mine.purge(0ms) == 1U);
    BOOST_TEST(value(leases.acquire(n)) == last + 1);
    BOOST_TEST(value(locks.acquire(m)) > last);
}

// What is written in it would not be committed, and a rollback would take the token back.
BOOST_FIXTURE_TEST_CASE(in_the_callers_transaction_there_is_no_token, fixture) {
    test::odbc_connection mine{*test::sqlserver()};
    auto locks = sqlserver::applock_on(mine.handle(), fenced());
    auto held = locks.acquire(n);
    BOOST_TEST(value(held) == 1U);
    (void)mine.sql("BEGIN TRANSACTION");
    BOOST_CHECK_THROW((void)locks.try_acquire(m), std::logic_error);
    BOOST_CHECK_THROW((void)locks.acquire(m), std::logic_error);
    BOOST_TEST(free(m));
    held.release();
    BOOST_TEST(free(n));
    BOOST_TEST(mine.sql("SELECT @@TRANCOUNT") == "1");
    (void)mine.sql("ROLLBACK");
    BOOST_TEST(value(locks.acquire(m)) == 1U);
    mine.autocommit(false);
    BOOST_CHECK_THROW((void)locks.try_acquire(m), std::logic_error);
    mine.rollback();
    mine.autocommit(true);
    BOOST_TEST(value(locks.acquire(m)) == 2U);
}

BOOST_FIXTURE_TEST_CASE(the_callers_settings_come_out_as_they_went_in, fixture) {
    test::odbc_connection mine{*test::sqlserver()};
    (void)mine.sql("SET XACT_ABORT OFF; SET NOCOUNT OFF; SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED");
    const auto session = [&] {
        return mine.sql("SELECT @@OPTIONS") + " " +
               mine.sql("SELECT transaction_isolation_level FROM sys.dm_exec_sessions WHERE session_id = @@SPID");
    };
    const auto before = session();
    auto locks = sqlserver::applock_on(mine.handle(), fenced());
    BOOST_TEST(value(locks.acquire(n)) == 1U);
    BOOST_TEST(session() == before);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace rowlock
