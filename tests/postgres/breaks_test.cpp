// A break of a lease is heard at once, in a connection that the provider has anyway: while that does nothing, while it
// is in use, and again after it was lost.
#include <boost/test/unit_test.hpp>

#include <memory>
#include <optional>
#include <thread>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>
#include <rowlock/schema.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_connection.hpp>
#include <support/postgres_server.hpp>
#include <support/recorder.hpp>
#include <support/slack.hpp>

using namespace std::chrono_literals;
using rowlock::test::eventually;
using rowlock::test::in_background;
using rowlock::test::postgres_connection;
using rowlock::test::postgres_server;

namespace {

// Renewals, which hear of breaks as well, come after 100 s: whatever is heard before that was not heard by them.
constexpr auto long_ttl = 300s;

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    postgres_connection look{server.conninfo(database)};
    std::shared_ptr<rowlock::test::recorder> heard = std::make_shared<rowlock::test::recorder>();

    fixture() {
        rowlock::open_schema("postgresql:" + server.conninfo(database)).migrate();
        (void)server.new_complaints();
    }
    rowlock::provider open(const std::string& owner) const {
        return rowlock::open("postgresql+lease:" + server.conninfo(database),
                             {.ttl = long_ttl, .owner = owner, .events = owner == "holder" ? heard : nullptr});
    }
    std::string connections_of(const std::string& owner) {
        return look.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = '" + owner + "'");
    }
    // Who begins to listen has all leases renewed, to hear what was broken before.
    bool listens() const { return heard->heard("renewed"); }
    bool somebody_waits() {
        return eventually([&] {
            return look.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == "1";
        });
    }
    static bool is_told(const rowlock::lock_handle& held) {
        return eventually([&] { return held.lost().stop_requested(); });
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(breaks, fixture)

BOOST_AUTO_TEST_CASE(a_connection_that_does_nothing_hears_it) {
    auto locks = open("holder"), operators = open("operator");
    const auto held = locks.acquire("n");
    BOOST_REQUIRE(listens());
    BOOST_TEST(operators.break_lock("n", "test"));
    BOOST_TEST(is_told(held));
    BOOST_TEST((held.lost_reason() == rowlock::loss_reason::broken));
    BOOST_TEST(connections_of("holder") == "1");
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(control_nobody_is_told_of_a_break_without_a_notification) {
    auto locks = open("holder");
    const auto held = locks.acquire("n");
    BOOST_REQUIRE(listens());
    (void)look.sql("UPDATE rowlock.lock SET token = token + 1, expires_at = '-infinity', provider = NULL");
    BOOST_TEST(!eventually([&] { return held.lost().stop_requested(); }, 1s));
    BOOST_CHECK_THROW(held.verify(), rowlock::lock_lost);
}

// Those who use the connection take what comes in it.
BOOST_AUTO_TEST_CASE(a_connection_in_use_hears_it) {
    auto locks = open("holder"), operators = open("operator");
    for (int i = 0; i < 20; ++i) {
        const auto held = locks.acquire("n");
        std::jthread user{[&](const std::stop_token& stop) {
            while (!stop.stop_requested()) locks.acquire("other").release();
        }};
        std::this_thread::sleep_for(std::chrono::milliseconds{i});
        BOOST_TEST(operators.break_lock("n", "test"));
        BOOST_TEST(is_told(held));
    }
    BOOST_TEST(connections_of("holder") == "1");
}

// The last answer that somebody takes brings it along, and nothing comes after that.
BOOST_AUTO_TEST_CASE(it_comes_with_an_answer) {
    auto locks = open("holder");
    for (int i = 0; i < 20; ++i) {
        const auto held = locks.acquire("n");
        BOOST_TEST(locks.break_lock("n", "test"), "through the very connection that listens");
        BOOST_TEST(is_told(held));
    }
    BOOST_TEST(connections_of("holder") == "1");
}

BOOST_AUTO_TEST_CASE(who_waits_does_so_in_another_connection) {
    auto locks = open("holder"), others = open("other");
    auto theirs = others.acquire("theirs");
    const auto held = locks.acquire("n");
    BOOST_REQUIRE(listens());
    auto waiting = in_background([&] { return locks.acquire("theirs").token(); });
    BOOST_REQUIRE(somebody_waits());
    BOOST_TEST(others.break_lock("n", "test"));
    BOOST_TEST(is_told(held));
    theirs.release();
    BOOST_TEST(waiting.get().has_value());
    BOOST_TEST(connections_of("holder") == "2");
}

// Where nothing was held, the wait is in the connection that listens; what is then granted in another one is heard of.
BOOST_AUTO_TEST_CASE(who_waits_first_hears_of_what_is_held_after_that) {
    auto locks = open("holder"), others = open("other");
    auto theirs = others.acquire("theirs");
    {
        const auto listening = locks.acquire("n");
        BOOST_REQUIRE(listens());
    }
    auto waiting = in_background([&] { return locks.acquire("theirs").token(); });
    BOOST_REQUIRE(somebody_waits());
    BOOST_TEST(connections_of("holder") == "1", "it waits where it listened");
    const auto held = locks.acquire("n");
    BOOST_TEST(others.break_lock("n", "test"));
    BOOST_TEST(is_told(held));
    theirs.release();
    BOOST_TEST(waiting.get().has_value());
}

// Who had to wait for it has held nothing before that, and no connection but the one that waited.
BOOST_AUTO_TEST_CASE(a_lease_that_was_waited_for) {
    auto locks = open("holder"), others = open("other");
    auto theirs = others.acquire("n");
    auto waiting = in_background([&] { return locks.acquire("n"); });
    BOOST_REQUIRE(somebody_waits());
    theirs.release();
    const auto held = waiting.get();
    BOOST_TEST(others.break_lock("n", "test"));
    BOOST_TEST(is_told(held));
}

BOOST_AUTO_TEST_CASE(another_connection_takes_over) {
    auto locks = open("holder"), operators = open("operator");
    const auto held = locks.acquire("n"), broken_meanwhile = locks.acquire("m");
    BOOST_REQUIRE(listens());
    (void)look.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'holder'");
    BOOST_TEST(eventually([&] { return connections_of("holder") == "0"; }));
    BOOST_TEST(operators.break_lock("m", "test"));
    BOOST_TEST(!broken_meanwhile.lost().stop_requested(), "there is no connection, and nobody wants one");
    (void)locks.try_acquire("another");
    BOOST_TEST(is_told(broken_meanwhile), "it listens again, and asks what it has missed");
    BOOST_TEST(!held.lost().stop_requested());
    BOOST_TEST(operators.break_lock("n", "test"));
    BOOST_TEST(is_told(held));
    BOOST_TEST(connections_of("holder") == "1");
}

BOOST_AUTO_TEST_CASE(a_provider_that_listens_ends_at_once) {
    auto locks = std::make_optional(open("holder"));
    auto held = locks->acquire("n");
    BOOST_REQUIRE(listens());
    held.release();
    const auto began = std::chrono::steady_clock::now();
    locks.reset();
    BOOST_TEST((std::chrono::steady_clock::now() - began < rowlock::test::slack));
}

BOOST_AUTO_TEST_SUITE_END()
