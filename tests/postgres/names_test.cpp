// Names that SQL, scripts and patterns could take for something else, through every way into PostgreSQL that takes one.
#include <boost/test/unit_test.hpp>

#include <pqxx/pqxx>

#include <rowlock/error.hpp>
#include <rowlock/postgres.hpp>
#include <rowlock/rowlock.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_server.hpp>

using namespace std::chrono_literals;
using rowlock::test::eventually;
using rowlock::test::in_background;
using rowlock::test::postgres_server;
namespace postgres = rowlock::postgres;

namespace {

const std::vector<std::string>& hostile() {
    static const std::vector<std::string> all{
        "'", "''", "\"", "\\", "\\'", "\\\\", "a\\", "$rowlock$", "$$", "$rowlock$ ; DROP SCHEMA rowlock CASCADE; --",
        "'; DROP SCHEMA rowlock CASCADE; --", "rowlock.lock", "rowlock.", "%", "_", "n%", "%s%n", "{", "}", "{}", ",",
        "{a,b}", "NULL", "null", "E'\\x41'", "\\x41", "U&'\\0041'", "$1", "{key}", "{lock}", "{wait}", "/*", "*/", "--",
        "\n", "\r\n", "\t", " ", "\x01", "\x7F", "\xF0\x9F\x9A\xA3", "\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x92\xBB",
        "\xE2\x80\xAE", "\xC2\xA0", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF", std::string(255, '\''), std::string(255, '\\'),
        std::string(255, '"'), std::string(255, '%'),
        // 255 bytes, the last character four of them
        "xxx" + [] {
            std::string boats;
            for (int i = 0; i < 63; ++i) boats += "\xF0\x9F\x9A\xA3";
            return boats;
        }()};
    return all;
}

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    std::string conninfo = server.conninfo(database);
    pqxx::connection mine{conninfo};
    rowlock::provider leases, advisory;

    fixture() : leases{migrated()}, advisory{postgres::advisory(conninfo, {.fencing = true})} {
        (void)server.new_complaints();
    }
    rowlock::provider migrated() {
        postgres::migrate(mine);
        return postgres::leases(conninfo);
    }
    std::vector<rowlock::provider*> both() { return {&leases, &advisory}; }
    // Nothing was dropped, and nothing was an error of SQL.
    ~fixture() {
        BOOST_TEST(server.sql(database, "SELECT count(*) FROM rowlock.migration WHERE number = 1") == "1");
        BOOST_TEST(server.new_complaints() == "");
    }
    std::string asked(const std::string& sql, const std::string& name) {
        pqxx::work tx{mine};
        return tx.exec_params(sql, name)[0][0].as<std::string>();
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(names, fixture)

BOOST_AUTO_TEST_CASE(locks_of_a_transaction) {
    pqxx::connection theirs{conninfo};
    for (const auto& n : hostile()) {
        {
            pqxx::work tx{mine}, other{theirs};
            postgres::lock(tx, n);
            BOOST_TEST(!postgres::try_lock(other, n), n);
            BOOST_TEST(!postgres::try_lock(other, n, 1ms), n);
            BOOST_TEST(!postgres::try_lock_shared(other, n, 1ms), n);
            BOOST_TEST(postgres::try_lock(other, "another"), n);
            BOOST_TEST(!advisory.try_acquire(n), "the same lock as a session's");
        }
        BOOST_TEST(advisory.try_acquire(n).has_value());
    }
}

BOOST_AUTO_TEST_CASE(every_one_is_a_lock_of_its_own_and_shown_as_it_is) {
    for (auto* locks : both()) {
        auto all = locks->try_acquire_all(hostile());
        BOOST_REQUIRE(all.has_value());
        BOOST_TEST(all->size() == hostile().size());
        for (const auto& h : *all) {
            BOOST_CHECK_NO_THROW(h.verify());
            const std::string n{h.name()};
            const auto found = locks->status(n);
            BOOST_TEST(std::count_if(found.begin(), found.end(), [&](const auto& s) { return s.name == n; }) == 1);
            BOOST_TEST(std::all_of(found.begin(), found.end(), [&](const auto& s) { return s.name.starts_with(n); }),
                       n);
            BOOST_TEST(asked("SELECT count(*) FROM rowlock.lock WHERE name = $1", n) == "1");
        }
        for (const auto& n : hostile()) BOOST_TEST(!locks->try_acquire_all({n, "free"}), n);
        BOOST_TEST(locks->try_acquire("free").has_value());
    }
}

BOOST_AUTO_TEST_CASE(waits_modes_and_upgrades) {
    for (auto* locks : both())
        for (const auto& n : hostile()) {
            auto held = locks->acquire(n);
            auto waits = in_background([&] { return locks->try_acquire(n, 10s).has_value(); });
            BOOST_TEST(eventually([&] {
                const auto found = locks->status(n);
                return std::any_of(found.begin(), found.end(),
                                   [&](const auto& s) { return s.name == n && s.waiters.size() == 1; });
            }));
            held.release();
            BOOST_TEST(waits.get(), n);
            {
                rowlock::shared_mutex s{*locks, n};
                const auto one = s.acquire_shared(), two = s.acquire_shared();
            }
            { const auto permit = rowlock::semaphore{*locks, n, 2}.acquire(); }
            if (locks == &leases) BOOST_TEST((rowlock::upgrade_mutex{*locks, n}.acquire_upgrade().try_upgrade()), n);
        }
}

BOOST_AUTO_TEST_CASE(breaking_hits_that_one_and_keeps_its_words) {
    for (auto* locks : both()) {
        auto bystander = postgres::leases(conninfo);
        const auto other = bystander.acquire("bystander");
        // Of advisory locks the session is broken, with all that it holds: this one's holds nothing else.
        auto victim = locks == &leases ? postgres::leases(conninfo) : postgres::advisory(conninfo, {.fencing = true});
        for (const auto& n : hostile()) {
            const auto held = victim.acquire(n);
            BOOST_TEST(locks->break_lock(n, n), n);
            BOOST_TEST(eventually([&] { return held.lost().stop_requested(); }));
            if (locks == &leases) {
                BOOST_TEST(held.lost_detail().ends_with(": " + n), held.lost_detail());
                BOOST_TEST(asked("SELECT count(*) FROM rowlock.break WHERE name = $1 AND reason = $1", n) == "1");
            }
        }
        BOOST_CHECK_NO_THROW(other.verify());
        if (locks == &advisory) (void)server.new_complaints();  // sessions that were ended say so
    }
}

BOOST_AUTO_TEST_CASE(a_fence_is_of_that_name) {
    for (const auto& n : hostile()) {
        auto held = leases.acquire(n);
        auto shared = rowlock::shared_mutex{leases, n + (n.size() < 255 ? "s" : "")};
        {
            pqxx::work tx{mine};
            postgres::fence(tx, held);
            tx.commit();
        }
        held.release();
        pqxx::work tx{mine};
        BOOST_CHECK_THROW(postgres::fence(tx, held), rowlock::lock_lost);
    }
}

BOOST_AUTO_TEST_CASE(a_purge_forgets_them_and_spares_who_is_held) {
    for (const auto& n : hostile()) (void)leases.acquire(n);
    const auto kept = leases.acquire(hostile().front());
    BOOST_TEST(leases.purge(0ms) == hostile().size() - 1);
    BOOST_TEST(server.sql(database, "SELECT count(*) FROM rowlock.lock") == "1");
    BOOST_TEST(asked("SELECT count(*) FROM rowlock.lock WHERE name = $1", hostile().front()) == "1");
    for (const auto& n : hostile())
        if (n != hostile().front()) BOOST_TEST(leases.acquire(n).token()->value() > 1U, "above the floor");
}

BOOST_AUTO_TEST_CASE(prefixes_owners_and_reasons) {
    for (const auto& n : hostile()) {
        if (n.size() > 200) continue;
        auto locks = postgres::leases(conninfo, {.key_prefix = n, .owner = n});
        const auto held = locks.acquire("n");
        const auto found = locks.status(n + "n");
        BOOST_REQUIRE(found.size() == 1U);
        BOOST_TEST(found[0].name == n + "n");
        BOOST_TEST(found[0].holders.at(0).owner == n);
    }
}

BOOST_AUTO_TEST_SUITE_END()
