// The tables: in a schema of any name, migrated once however many ask, by hand or by the library.
#include <boost/test/unit_test.hpp>

#include <fstream>

#include <backends/postgres/statement.hpp>
#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>

#include <support/actor_process.hpp>
#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_server.hpp>
#include <support/temp_dir.hpp>

using namespace std::chrono_literals;
using rowlock::options;
using rowlock::test::actor_process;
using rowlock::test::eventually;
using rowlock::test::postgres_server;

namespace {

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    std::string url = "postgresql+lease:" + server.uri(database);

    fixture() { (void)server.new_complaints(); }

    std::string sql(const std::string& text) const { return server.sql(database, text); }
    std::string tables() const {
        return sql(
            "SELECT string_agg(schemaname || '.' || tablename, ' ' ORDER BY tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')");
    }
};

bool says(const std::exception& e, std::initializer_list<std::string_view> parts) {
    for (const auto part : parts)
        if (std::string_view{e.what()}.find(part) == std::string_view::npos) {
            BOOST_TEST_MESSAGE(e.what());
            return false;
        }
    return true;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(schema, fixture)

BOOST_AUTO_TEST_CASE(only_what_names_the_schema_is_replaced) {
    using rowlock::postgres::in_schema;
    const auto text =
        "CREATE SCHEMA rowlock; SELECT rowlock_wait.x, 'rowlock_break', my_rowlock.t FROM rowlock.lock, rowlock.part "
        "-- "
        "of rowlock. $rowlock$ 'rowlock.migration'";
    BOOST_TEST(in_schema(text, "rowlock") == text);
    BOOST_TEST(in_schema(text, "Mine") ==
               "CREATE SCHEMA \"Mine\"; SELECT rowlock_wait.x, 'rowlock_break', my_rowlock.t FROM \"Mine\".lock, "
               "\"Mine\".part -- of rowlock. $rowlock$ '\"Mine\".migration'");
    BOOST_TEST(in_schema(in_schema(text, "a_rowlock"), "a_rowlock") == in_schema(text, "a_rowlock"));
}

BOOST_AUTO_TEST_CASE(everything_works_in_a_schema_of_another_name) {
    const options opt{.schema = "Locks_2"};
    rowlock::open_schema(url, opt).migrate();
    BOOST_TEST(tables() == "Locks_2.break Locks_2.floor Locks_2.lock Locks_2.migration Locks_2.part");
    rowlock::open_schema(url, opt).check();
    auto locks = rowlock::open(url, opt), others = rowlock::open(url, opt);

    auto held = locks.acquire("n");
    held.verify();
    BOOST_TEST(!others.try_acquire("n", 20ms));
    auto next = rowlock::test::in_background([&] { return others.acquire("n").token(); });
    BOOST_TEST(eventually([&] { return locks.status("n").at(0).waiters.size() == 1; }));
    held.release();
    BOOST_TEST((next.get() > held.token()));

    rowlock::upgrade_mutex u{locks, "u"};
    auto reading = std::make_optional(u.acquire_shared());
    auto upgrade = u.acquire_upgrade();
    BOOST_TEST(!upgrade.try_upgrade_for(20ms));
    reading.reset();
    BOOST_TEST(upgrade.try_upgrade_for(5s));
    rowlock::semaphore s{locks, "s", 2};
    auto one = s.acquire(), two = s.acquire();
    BOOST_TEST(!s.try_acquire());
    BOOST_TEST(locks.break_lock("s", "test"));
    BOOST_TEST(eventually([&] { return one.lost().stop_requested() && two.lost().stop_requested(); }));
    upgrade.release();
    BOOST_TEST(locks.purge(0ms) == 3U);

    auto brief = rowlock::open(url, {.ttl = 200ms, .schema = "Locks_2"});
    auto renewed = brief.acquire("n");
    const auto until = renewed.valid_until();
    BOOST_TEST(eventually([&] { return renewed.valid_until() > until; }));
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(two_schemas_are_two_worlds) {
    const options other{.schema = "other"};
    rowlock::open_schema(url).migrate();
    rowlock::open_schema(url, other).migrate();
    auto here = rowlock::open(url), there = rowlock::open(url, other);
    auto held = here.acquire("n");
    auto free_there = there.try_acquire("n");
    BOOST_REQUIRE(free_there.has_value());
    // Nor do they wait for each other: the keys of queue and bell differ, and so does the keys' owner.
    std::stop_source stop;
    auto waiter = rowlock::test::in_background([&] {
        try {
            (void)here.acquire("n", stop.get_token());
        } catch (const rowlock::cancelled&) {
        }
        return true;
    });
    BOOST_TEST(eventually([&] { return here.status("n").at(0).waiters.size() == 1; }));
    BOOST_TEST(there.status("n").at(0).waiters.empty());
    free_there->release();
    BOOST_TEST(there.try_acquire("n").has_value(), "though somebody waits in the other schema");
    stop.request_stop();
    BOOST_TEST(waiter.get());
    // Breaks are told to those whom they concern.
    auto mine = there.acquire("n");
    BOOST_TEST(there.break_lock("n", "test"));
    BOOST_TEST(eventually([&] { return mine.lost().stop_requested(); }));
    BOOST_CHECK_NO_THROW(held.verify());
    BOOST_TEST(!held.lost().stop_requested());
}

BOOST_AUTO_TEST_CASE(a_schema_that_is_not_there_is_named) {
    rowlock::open_schema(url).migrate();
    BOOST_CHECK_EXCEPTION((void)rowlock::open(url, {.schema = "elsewhere"}), rowlock::schema_error, [](const auto& e) {
        return says(e, {"not migrated", "rowlock migrate"});
    });
    for (const auto* bad : {"", "a.b", "9", "a\"b", "a b", "\xC3\xA4"})
        BOOST_CHECK_THROW((void)rowlock::open_schema(url, {.schema = bad}), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(one_of_twenty_migrates_and_all_can_go_on) {
    std::vector<actor_process> actors(20);
    for (auto& a : actors) a.expect_ok("pid");  // up and running
    for (int round = 0; round < 3; ++round) {
        const auto fresh = "postgresql+lease:" + server.uri(server.new_database());
        const auto steps = rowlock::open_schema(fresh).all().size();
        for (auto& a : actors) a.tell("migrate " + fresh);
        std::size_t ran = 0;
        for (auto& a : actors) {
            const auto answer = a.answer();
            if (answer == "ok " + std::to_string(steps))
                ++ran;
            else
                BOOST_TEST(answer == "ok 0");
        }
        BOOST_TEST(ran == 1U);
        BOOST_TEST(rowlock::open(fresh).try_acquire("n").has_value());
    }
    BOOST_TEST(server.new_complaints() == "");
}

// What the exclusion hangs on: the steps themselves do not bear being run twice.
BOOST_AUTO_TEST_CASE(control_a_step_run_twice_fails) {
    auto s = rowlock::open_schema(url);
    s.migrate();
    for (const auto& step : s.all()) BOOST_CHECK_THROW((void)sql(std::string{step.sql}), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(through_a_transaction_pooler) {
    const auto pooled = "postgresql+lease:" + server.pooler_uri("transaction", database);
    std::vector<actor_process> actors(8);
    for (auto& a : actors) a.expect_ok("pid");
    for (auto& a : actors) a.tell("migrate " + pooled);
    std::size_t ran = 0;
    for (auto& a : actors) {
        const auto answer = a.answer();
        BOOST_TEST(answer.starts_with("ok "), answer);
        if (answer != "ok 0") ++ran;
    }
    BOOST_TEST(ran == 1U);
    BOOST_TEST(rowlock::open(pooled).try_acquire("n").has_value());
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(by_hand_with_psql) {
    const rowlock::test::temp_dir directory;
    int number = 0;
    for (const std::string name : {"rowlock", "by_hand"}) {
        const options opt{.schema = name};
        for (const auto& step : rowlock::open_schema(url, opt).all()) {
            const auto path = (directory / (std::to_string(number++) + ".sql")).string();
            std::ofstream{path} << step.sql;
            server.run_file(database, path);
        }
        BOOST_CHECK_NO_THROW(rowlock::open_schema(url, opt).check());
        BOOST_TEST(rowlock::open_schema(url, opt).migrate().empty());
        BOOST_TEST(rowlock::open(url, opt).try_acquire("n").has_value());
    }
}

BOOST_AUTO_TEST_CASE(an_edited_step_and_a_newer_schema_are_refused) {
    rowlock::open_schema(url).migrate();
    (void)sql("INSERT INTO rowlock.migration (number, name) VALUES (9999, '9999_future')");
    for (const auto& what : {"newer", "9999_future"}) {
        const auto told = [&](const auto& e) { return says(e, {what}); };
        BOOST_CHECK_EXCEPTION((void)rowlock::open(url), rowlock::schema_error, told);
        BOOST_CHECK_EXCEPTION(rowlock::open_schema(url).migrate(), rowlock::schema_error, told);
    }
    (void)sql("DELETE FROM rowlock.migration WHERE number = 9999");
    (void)sql("UPDATE rowlock.migration SET checksum = 'x'");
    BOOST_CHECK_EXCEPTION((void)rowlock::open(url), rowlock::schema_error,
                          [](const auto& e) { return says(e, {"edited"}); });
}

BOOST_AUTO_TEST_CASE(a_role_that_may_not_create_changes_nothing) {
    (void)sql("DO $$ BEGIN CREATE ROLE no_creator LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
    const auto theirs = "postgresql+lease:" + server.conninfo(database, "user=no_creator");
    BOOST_CHECK_EXCEPTION(rowlock::open_schema(theirs).migrate(), rowlock::connection_error, [](const auto& e) {
        return says(e, {"GRANT CREATE ON DATABASE", "rowlock migrate --print"}) && e.sqlstate() == "42501";
    });
    BOOST_TEST(tables() == "");
    BOOST_TEST(sql("SELECT to_regnamespace('rowlock') IS NULL") == "t");
}

BOOST_AUTO_TEST_CASE(a_step_that_fails_half_way_leaves_nothing) {
    (void)sql("CREATE SCHEMA rowlock; CREATE TABLE rowlock.part (x int)");
    BOOST_CHECK_EXCEPTION(rowlock::open_schema(url).migrate(), rowlock::error, [](const auto& e) {
        return says(e, {"rowlock", "already exists"});
    });
    BOOST_TEST(tables() == "rowlock.part");
}

BOOST_AUTO_TEST_SUITE_END()
