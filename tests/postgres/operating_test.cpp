// What an operator meets: roles with few rights, standbys, status and break of advisory locks, locks of other programs.
#include <boost/test/unit_test.hpp>

#include <algorithm>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>

#include <support/actor_process.hpp>
#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_server.hpp>
#include <support/slack.hpp>

using namespace std::chrono_literals;
using rowlock::test::actor_process;
using rowlock::test::eventually;
using rowlock::test::postgres_server;
using rowlock::test::slack;
using steady = std::chrono::steady_clock;

namespace {

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    std::string advisory = "postgresql+advisory:" + server.uri(database);
    std::string lease = "postgresql+lease:" + server.uri(database);

    fixture() { (void)server.new_complaints(); }

    std::string sql(const std::string& text) const { return server.sql(database, text); }
    // A role of this name, without rights.
    std::string role(const std::string& name) const {
        (void)sql("CREATE ROLE " + name + database + " LOGIN");
        return name + database;
    }
    std::string as(const std::string& scheme, const std::string& role) const {
        return scheme + server.conninfo(database, "user=" + role);
    }
    // psql as `role`; empty: it failed.
    std::string sql_as(const std::string& role, const std::string& text) const {
        try {
            return server.sql(database, "SET ROLE " + role + "; " + text);
        } catch (const std::runtime_error&) {
            return {};
        }
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

template <class Error>
auto told(std::initializer_list<std::string_view> parts) {
    return [parts = std::vector(parts)](const Error& e) {
        return std::all_of(parts.begin(), parts.end(), [&](const auto p) { return says(e, {p}); });
    };
}

// What psql of somebody else does with the lock of a name: the SQL of docs/interoperating.md.
std::string key_sql(const std::string& name) {
    return "('x' || encode(substring(sha256(convert_to('" + name + "', 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint";
}

void use_everything(rowlock::provider locks, rowlock::provider others) {
    auto held = locks.acquire("n");
    held.verify();
    BOOST_TEST(!others.try_acquire("n", 5ms));
    auto next = rowlock::test::in_background([&] { return others.acquire("n").token().has_value(); });
    BOOST_TEST(eventually([&] { return locks.status("n").at(0).waiters.size() == 1; }));
    held.release();
    BOOST_TEST(next.get());
    rowlock::upgrade_mutex u{locks, "u"};
    auto reading = u.acquire_shared();
    auto upgrade = u.acquire_upgrade();
    reading.release();
    upgrade.upgrade();
    auto permit = rowlock::semaphore{locks, "s", 3}.acquire();
    BOOST_TEST(locks.status().size() == 2U);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(operating, fixture)

BOOST_AUTO_TEST_CASE(the_grants_of_the_migration_are_what_is_needed) {
    rowlock::open_schema(lease).migrate();
    const auto app = role("app"), op = role("op");
    // As the migration says it, word for word but for the roles.
    const std::string text{rowlock::open_schema(lease).all().front().sql};
    std::string grants;
    for (std::size_t at = text.find("--   GRANT"); at != std::string::npos; at = text.find("--   GRANT", at + 1))
        grants += text.substr(at + 5, text.find(';', at) - at - 4);
    for (const auto& [word, role] : {std::pair{"TO app;", app}, {"TO operator;", op}})
        for (auto at = grants.find(word); at != std::string::npos; at = grants.find(word))
            grants.replace(at, std::string_view{word}.size(), "TO " + role + ";");
    BOOST_TEST(grants.find("app") != std::string::npos);
    (void)sql(grants + "GRANT " + app + " TO " + op);

    use_everything(rowlock::open(as("postgresql+lease:", app), {.ttl = 300ms}),
                   rowlock::open(as("postgresql+lease:", app)));
    // The pin of a fence.
    (void)rowlock::open(as("postgresql+lease:", app)).acquire("pinned");
    BOOST_TEST(sql_as(app, "SELECT name FROM rowlock.lock WHERE name = 'pinned' FOR KEY SHARE") == "pinned");

    auto theirs = rowlock::open(as("postgresql+lease:", app)), operators = rowlock::open(as("postgresql+lease:", op));
    auto held = theirs.acquire("b");
    BOOST_TEST(operators.break_lock("b", "test"));
    BOOST_TEST(eventually([&] { return held.lost().stop_requested(); }));
    BOOST_TEST((held.lost_reason() == rowlock::loss_reason::broken));
    BOOST_TEST(operators.purge(0ms) > 0U);
    BOOST_TEST(server.new_complaints() == "");

    // Without any one of them something is refused.
    const auto refused = told<rowlock::connection_error>({"GRANT", "rowlock.lock"});
    auto again = theirs.acquire("b");
    BOOST_CHECK_EXCEPTION((void)theirs.break_lock("b", "test"), rowlock::connection_error, refused);
    BOOST_CHECK_EXCEPTION((void)theirs.purge(0ms), rowlock::connection_error, refused);
    for (const std::string right :
         {"INSERT ON rowlock.lock", "UPDATE ON rowlock.lock", "UPDATE ON rowlock.part", "INSERT ON rowlock.part",
          "SELECT ON rowlock.floor", "UPDATE (one) ON rowlock.floor"}) {
        (void)sql("REVOKE " + right + " FROM " + app);
        auto locks = rowlock::open(as("postgresql+lease:", app));
        BOOST_CHECK_EXCEPTION(use_everything(locks, locks), rowlock::connection_error, refused);
        (void)sql("GRANT " + right + " TO " + app);
    }
    again.release();
}

BOOST_AUTO_TEST_CASE(a_pin_needs_the_right_to_update) {
    rowlock::open_schema(lease).migrate();
    const auto reader = role("reader");
    (void)sql("GRANT USAGE ON SCHEMA rowlock TO " + reader + "; GRANT SELECT ON rowlock.lock TO " + reader);
    (void)rowlock::open(lease).acquire("pinned");
    BOOST_TEST(sql_as(reader, "SELECT name FROM rowlock.lock WHERE name = 'pinned'") == "pinned");
    BOOST_TEST(sql_as(reader, "SELECT name FROM rowlock.lock WHERE name = 'pinned' FOR KEY SHARE") == "");
}

BOOST_AUTO_TEST_CASE(a_role_without_rights_is_told_the_grants) {
    rowlock::open_schema(lease, {.schema = "mine"}).migrate();
    const auto nobody = role("nobody");
    BOOST_CHECK_EXCEPTION((void)rowlock::open(as("postgresql+lease:", nobody), {.schema = "mine"}),
                          rowlock::connection_error,
                          told<rowlock::connection_error>({"GRANT USAGE ON SCHEMA \"mine\"", "\"mine\".lock"}));
    // Advisory locks need none.
    auto locks = rowlock::open(as("postgresql+advisory:", nobody));
    auto held = locks.acquire("n");
    BOOST_TEST(!rowlock::open(advisory).try_acquire("n", 20ms));
}

BOOST_AUTO_TEST_CASE(status_needs_no_rights_on_others) {
    auto owners = rowlock::open(advisory, {.owner = "me"});
    auto held = owners.acquire("n");
    auto theirs = rowlock::open(as("postgresql+advisory:", role("nobody")), {.owner = "them"});
    const auto seen = theirs.status("n");
    BOOST_REQUIRE(seen.size() == 1U);
    BOOST_TEST(seen[0].holders.at(0).owner == "me");
}

BOOST_AUTO_TEST_CASE(names_are_known_from_the_tables) {
    auto locks = rowlock::open(advisory, {.owner = "me"});
    auto held = locks.acquire("known"), secret = locks.acquire("unknown");
    actor_process other;
    other.open(advisory, " owner=them");
    other.tell("acquire h known exclusive -");
    auto from_elsewhere = rowlock::open(advisory);
    BOOST_TEST(eventually([&] { return from_elsewhere.status("known").at(0).waiters.size() == 1; }),
               "the name that was asked for is known");
    BOOST_TEST(from_elsewhere.status().size() == 2U);
    for (const auto& l : from_elsewhere.status()) BOOST_TEST(l.name.starts_with("advisory key "));

    rowlock::open_schema(lease).migrate();
    (void)rowlock::open(lease).acquire("known");  // leaves its row
    const auto all = from_elsewhere.status();
    BOOST_REQUIRE(all.size() == 2U);
    BOOST_TEST(all[0].name.starts_with("advisory key "), "somebody else's lock");
    BOOST_TEST(all[1].name == "known");
    BOOST_TEST(all[1].holders.at(0).owner == "me");
    BOOST_TEST(all[1].waiters.at(0).owner == "them");
    held.release();
    BOOST_TEST(other.answer().starts_with("ok"));
}

BOOST_AUTO_TEST_CASE(breaking_an_advisory_lock_ends_its_session) {
    rowlock::open_schema(lease).migrate();
    auto locks = rowlock::open(advisory, {.owner = "holder"}), operators = rowlock::open(advisory, {.owner = "op"});
    auto held = locks.acquire("n"), besides = locks.acquire("besides");
    auto waiter = rowlock::test::in_background([&] { return operators.acquire("n").name() == "n"; });
    BOOST_TEST(eventually([&] { return locks.status("n").at(0).waiters.size() == 1; }));
    const auto started = steady::now();
    BOOST_TEST(operators.break_lock("n", "it hangs"));
    BOOST_TEST(eventually([&] { return held.lost().stop_requested() && besides.lost().stop_requested(); }));
    BOOST_TEST((steady::now() - started < slack));
    BOOST_TEST(held.lost_detail() == "terminating connection due to administrator command");
    BOOST_TEST(waiter.get(), "the next one has it");
    BOOST_TEST(sql("SELECT name, owner, reason, broken_by FROM rowlock.break") == "n|holder|it hangs|op");
    BOOST_TEST(!operators.break_lock("n", "again"), "nobody holds it");
    BOOST_TEST(sql("SELECT count(*) FROM rowlock.break") == "1");
    BOOST_TEST(locks.try_acquire("n").has_value(), "with a new session");
}

BOOST_AUTO_TEST_CASE(breaking_ones_own_lock) {
    rowlock::open_schema(lease).migrate();
    auto locks = rowlock::open(advisory);
    auto held = locks.acquire("n");
    BOOST_TEST(locks.break_lock("n", "test"));
    BOOST_TEST(eventually([&] { return held.lost().stop_requested(); }));
}

BOOST_AUTO_TEST_CASE(breaking_shares_and_permits_but_not_who_waits) {
    rowlock::open_schema(lease).migrate();
    auto locks = rowlock::open(advisory), others = rowlock::open(advisory), third = rowlock::open(advisory);
    auto one = rowlock::shared_mutex{locks, "c"}.acquire_shared(),
         two = rowlock::shared_mutex{others, "c"}.acquire_shared();
    BOOST_TEST(third.break_lock("c", "test"));
    BOOST_TEST(eventually([&] { return one.lost().stop_requested() && two.lost().stop_requested(); }));

    auto permit = rowlock::semaphore{locks, "s", 1}.acquire();
    auto next = rowlock::test::in_background([&] {
        return rowlock::semaphore{others, "s", 1}.acquire().name() == "s";
    });
    BOOST_TEST(eventually([&] { return locks.status("s").at(0).waiters.size() == 1; }));
    BOOST_TEST(third.break_lock("s", "test"));
    BOOST_TEST(eventually([&] { return permit.lost().stop_requested(); }));
    BOOST_TEST(next.get(), "its session goes on");
}

BOOST_AUTO_TEST_CASE(what_cannot_be_broken_is_told_with_what_to_do) {
    auto locks = rowlock::open(advisory);
    auto held = locks.acquire("n");
    const auto pid =
        sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM "
            "pg_database WHERE datname = current_database())");
    const auto by_hand = "pg_terminate_backend(pid) FROM unnest(ARRAY[" + pid + "])";
    BOOST_CHECK_EXCEPTION((void)rowlock::open(advisory).break_lock("n", "x"), rowlock::schema_error,
                          told<rowlock::schema_error>({"rowlock migrate", by_hand}));
    rowlock::open_schema(lease).migrate();
    const auto nobody = role("nobody");
    (void)sql("GRANT USAGE ON SCHEMA rowlock TO " + nobody + "; GRANT INSERT, SELECT ON rowlock.break TO " + nobody);
    BOOST_CHECK_EXCEPTION((void)rowlock::open(as("postgresql+advisory:", nobody)).break_lock("n", "x"),
                          rowlock::connection_error, told<rowlock::connection_error>({"pg_signal_backend", by_hand}));
    held.verify();
    BOOST_TEST(sql("SELECT count(*) FROM rowlock.break") == "0");
}

BOOST_AUTO_TEST_CASE(another_program_takes_the_same_lock_in_plain_sql) {
    auto locks = rowlock::open(advisory);
    auto held = locks.acquire("nightly");
    BOOST_TEST(sql("SELECT pg_try_advisory_lock(" + key_sql("nightly") + ")") == "f");
    BOOST_TEST(sql("SELECT pg_try_advisory_lock(" + key_sql("weekly") + ")") == "t");
    held.release();
    // And the other way round: psql holds it, until the gate lets it end.
    auto gate = locks.acquire("gate");
    auto psql = rowlock::test::in_background([&] {
        return sql("SELECT pg_advisory_lock(" + key_sql("nightly") + "); SELECT pg_advisory_lock(" + key_sql("gate") +
                   ")");
    });
    BOOST_TEST(eventually([&] { return locks.status("gate").at(0).waiters.size() == 1; }));
    BOOST_TEST(!locks.try_acquire("nightly"));
    BOOST_TEST(locks.status("nightly").at(0).holders.at(0).owner == "psql");
    gate.release();
    (void)psql.get();
    BOOST_TEST(locks.try_acquire("nightly", 5s).has_value(), "it ended with its session");
}

// The rows of docs/guarantees.md that need a server, and processes that die.

BOOST_AUTO_TEST_CASE(a_killed_waiter_leaves_the_queue) {
    rowlock::open_schema(lease).migrate();
    for (const auto& url : {advisory, lease}) {
        auto locks = rowlock::open(url);
        auto held = locks.acquire("n");
        auto waiter = std::make_optional<actor_process>();
        waiter->open(url);
        waiter->tell("acquire h n exclusive -");
        BOOST_TEST(eventually([&] { return locks.status("n").at(0).waiters.size() == 1; }));
        waiter->kill();
        const auto killed = steady::now();
        BOOST_TEST(eventually([&] { return locks.status("n").at(0).waiters.empty(); }));
        BOOST_TEST((steady::now() - killed < 500ms + slack));
        held.release();
        BOOST_TEST(locks.try_acquire("n", 5s).has_value());
    }
}

BOOST_AUTO_TEST_CASE(a_killed_holder_of_a_lease_is_replaced_when_it_ends) {
    rowlock::open_schema(lease).migrate();
    auto locks = rowlock::open(lease);
    actor_process holder;
    holder.open(lease, " ttl=2000");
    holder.expect_ok("acquire h n exclusive -");
    auto next = rowlock::test::in_background([&] {
        const auto held = locks.acquire("n");
        return steady::now();
    });
    BOOST_TEST(eventually([&] { return locks.status("n").at(0).waiters.size() == 1; }));
    holder.kill();
    const auto killed = steady::now();
    const auto took = next.get() - killed;
    BOOST_TEST((took < 2s + slack));
    BOOST_TEST((took > 500ms), "the lease was renewed a third of it ago at most, and nobody cuts it short");
}

BOOST_AUTO_TEST_CASE(a_lease_outlives_its_session) {
    rowlock::open_schema(lease).migrate();
    const auto end_all =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
        "datname = current_database() AND application_name = 'holder'";
    auto locks = rowlock::open(lease, {.ttl = 3s, .owner = "holder"}), others = rowlock::open(lease);
    auto held = locks.acquire("n");
    auto next = rowlock::test::in_background([&] { return others.acquire("n").token(); });
    BOOST_TEST(eventually([&] { return locks.status("n").at(0).waiters.size() == 1; }));
    BOOST_TEST(sql(end_all) != "0");
    const auto until = held.valid_until();
    BOOST_TEST(eventually([&] { return held.valid_until() > until; }), "renewed with a new session");
    BOOST_TEST(!held.lost().stop_requested());
    held.verify();
    BOOST_TEST((next.wait_for(0s) == std::future_status::timeout));
    const auto released = steady::now();
    held.release();
    BOOST_TEST((next.get() > held.token()));
    BOOST_TEST((steady::now() - released < slack), "without the bell the head asks again");
}

BOOST_AUTO_TEST_CASE(a_standby_is_refused) {
    rowlock::open_schema(lease).migrate();
    const postgres_server standby{postgres_server::standby_of{server}};
    BOOST_TEST(standby.sql(database, "SELECT pg_is_in_recovery()") == "t");
    for (const std::string scheme : {"postgresql+advisory:", "postgresql+lease:"})
        BOOST_CHECK_EXCEPTION((void)rowlock::open(scheme + standby.conninfo(database)), rowlock::connection_error,
                              told<rowlock::connection_error>({"read-only", "target_session_attrs=read-write"}));
    // Why: PostgreSQL itself would grant both.
    auto held = rowlock::open(advisory).acquire("n");
    BOOST_TEST(standby.sql(database, "SELECT pg_try_advisory_lock(" + key_sql("n") + ")") == "t");
    // Migrating it says the same.
    (void)sql("DROP SCHEMA rowlock CASCADE");
    BOOST_TEST(eventually([&] { return standby.sql(database, "SELECT to_regnamespace('rowlock') IS NULL") == "t"; }));
    BOOST_CHECK_EXCEPTION(rowlock::open_schema("postgresql+lease:" + standby.conninfo(database)).migrate(),
                          rowlock::connection_error, told<rowlock::connection_error>({"read-only"}));
}

BOOST_AUTO_TEST_CASE(a_database_made_read_only_is_refused_for_leases) {
    rowlock::open_schema(lease).migrate();
    (void)sql("ALTER DATABASE " + database + " SET default_transaction_read_only = on");
    BOOST_CHECK_EXCEPTION((void)rowlock::open(lease), rowlock::connection_error,
                          told<rowlock::connection_error>({"read-only"}));
    BOOST_TEST(rowlock::open(advisory).try_acquire("n").has_value(), "which writes nothing");
}

BOOST_AUTO_TEST_SUITE_END()
