// What KILL does to who holds and who waits: applocks end with their session and are told of, leases do not. On a
// server that speaks TDS; which one, ROWLOCK_TEST_SQLSERVER says.
#include <future>
#include <random>
#include <thread>

#include <rowlock/error.hpp>

#include <applock_pulse.hpp>
#include <resource_name.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/recorder.hpp>
#include <support/slack.hpp>

#include "lease_fixture.hpp"

using namespace std::chrono_literals;

namespace rowlock {
namespace {

using steady = std::chrono::steady_clock;
using test::eventually;
using test::in_background;
using test::recorder;
using test::slack;

constexpr auto interval = sqlserver::applock_pulse::interval;

struct fixture : test::lease_fixture {
    fixture() : lease_fixture{"rowlock_kill_test"} {}

    [[nodiscard]] provider applocks(options opt = {}) const {
        return sqlserver::applock(*test::sqlserver(), settings(std::move(opt)));
    }
    // Who is to be killed.
    [[nodiscard]] options victim(options opt = {}) const {
        opt.owner = owner;
        return opt;
    }
    // All of its sessions; how many there were. The server may show one for a while after its end.
    int kill() {
        int count = 0;
        for (;; ++count) {
            const auto one = past.sql("SELECT MIN(session_id) FROM sys.dm_exec_sessions WHERE program_name = '" +
                                      owner + "' AND session_id NOT IN (" + killed_ + ")");
            if (one.empty()) return count;
            killed_ += ", " + one;
            (void)past.sql("KILL " + one);
        }
    }
    // As Babelfish has it.
    bool victim_waits() {
        return eventually([&] {
            return past.sql(
                       "SELECT COUNT(*) FROM pg_catalog.pg_locks AS w INNER JOIN sys.dm_exec_sessions AS s ON "
                       "s.session_id = w.pid WHERE w.locktype = 'advisory' AND w.waitstart IS NOT NULL AND "
                       "s.program_name = '" +
                       owner + "'") == "1";
        });
    }
    [[nodiscard]] bool free(const std::string& resource) { return past.is_free(resource); }

    const std::string n = "kill test " + std::to_string(std::random_device{}());
    const std::string owner = n + " victim";

private:
    std::string killed_ = "0";
};

// When it is told, as it is told; empty: it was not.
std::optional<steady::time_point> heard_at(const lock_handle& held, std::chrono::milliseconds patience) {
    std::promise<steady::time_point> told;
    auto at = told.get_future();
    const std::stop_callback on_loss{held.lost(), [&] { told.set_value(steady::now()); }};
    if (at.wait_for(patience) != std::future_status::ready) return std::nullopt;
    return at.get();
}

// How a wait ended that nobody was to grant.
std::string end_of(const std::function<void()>& wait) {
    try {
        wait();
        return "granted";
    } catch (const connection_error&) {
        return "connection_error";
    }
}

void say(const char* what, steady::duration d) {
    BOOST_TEST_MESSAGE(what << " after " << std::chrono::duration_cast<std::chrono::milliseconds>(d).count() << " ms");
}

const auto if_there = boost::unit_test::precondition(test::has_sqlserver);

}  // namespace

BOOST_AUTO_TEST_SUITE(killed, *if_there)

BOOST_FIXTURE_TEST_CASE(the_holder_of_an_applock_hears_and_the_next_one_has_it, fixture) {
    auto locks = applocks(victim()), others = applocks();
    auto held = locks.acquire(n);
    auto upgrade = upgrade_mutex{locks, n + " upgrade"}.acquire_upgrade();
    std::promise<steady::time_point> granted;
    std::jthread next{[&] {
        const auto got = others.acquire(n);
        granted.set_value(steady::now());
    }};
    BOOST_TEST(!others.try_acquire(n, 500ms));
    const auto before = steady::now();
    BOOST_TEST(kill() == 2, "an upgrade lock has a session of its own");
    const auto killed = steady::now();
    const auto heard = heard_at(held, 30s);
    BOOST_REQUIRE(heard.has_value());
    BOOST_TEST((*heard >= before));
    say("heard", *heard - killed);
    BOOST_TEST((*heard - killed < interval + slack));
    BOOST_TEST((held.lost_reason() == loss_reason::connection));
    BOOST_TEST(!held.lost_detail().empty());
    BOOST_TEST_MESSAGE(held.lost_detail());
    const auto upgrade_heard = heard_at(upgrade, 30s);
    BOOST_REQUIRE(upgrade_heard.has_value());
    BOOST_TEST((*upgrade_heard - killed < interval + slack));
    const auto got = granted.get_future().get();
    say("granted to the next one", got - killed);
    BOOST_TEST((got - killed < slack));
    BOOST_CHECK_THROW(held.verify(), lock_lost);
    BOOST_TEST(locks.try_acquire(n, 10s).has_value(), "with a new session");
}

BOOST_FIXTURE_TEST_CASE(control_without_it_nothing_is_heard, fixture) {
    auto locks = applocks(victim()), others = applocks();
    const auto held = locks.acquire(n);
    BOOST_TEST(!heard_at(held, 2 * (interval + slack)).has_value());
    BOOST_TEST(!others.try_acquire(n));
    BOOST_CHECK_NO_THROW(held.verify());
}

BOOST_FIXTURE_TEST_CASE(a_lease_lives_on_through_another_session, fixture) {
    constexpr auto ttl = 12s;  // of which Babelfish needs some to take up a session
    const auto heard = std::make_shared<recorder>();
    auto locks = open(victim({.ttl = ttl, .events = heard})), others = open();
    auto held = locks.acquire(n);
    auto part = shared_mutex{locks, n + " part"}.acquire_shared();
    const auto token = held.token();
    const auto taken = steady::now();
    BOOST_TEST(kill() >= 1);
    while (steady::now() < taken + 2 * ttl) {
        BOOST_TEST(heard->heard("renewed", heard->count("renewed") + 1));
        (void)kill();  // the one that did that
        BOOST_TEST(!others.try_acquire(n));
    }
    BOOST_TEST(!heard_at(held, 0ms).has_value());
    BOOST_TEST(!heard_at(part, 0ms).has_value());
    BOOST_CHECK_NO_THROW(held.verify());
    BOOST_CHECK_NO_THROW(part.verify());
    BOOST_TEST((held.token() == token));
    (void)kill();
    held.release();
    part.release();
    BOOST_TEST(sql("SELECT COUNT(*) FROM {s}.lock WHERE expires_at > SYSUTCDATETIME() OR sharers > 0") == "0");
    BOOST_TEST(others.try_acquire(n, 10s).has_value());
}

BOOST_FIXTURE_TEST_CASE(who_waits_for_an_applock_is_told_and_leaves_nothing_behind, fixture) {
    auto locks = applocks(victim()), others = applocks();
    for (const bool permit : {false, true}) {
        auto held = permit ? semaphore{others, n, 1}.acquire() : others.acquire(n);
        // A permit is asked for again and again, at the head of the queue; behind that one waits in the server.
        auto head = in_background([&] {
            return permit ? end_of([&] { (void)semaphore{others, n, 1}.acquire(); }) : "";
        });
        BOOST_TEST(eventually([&] { return !permit || !free(sqlserver::queue_of(n)); }));
        auto waits = in_background([&] {
            return end_of([&] { (void)(permit ? semaphore{locks, n, 1}.acquire() : locks.acquire(n)); });
        });
        BOOST_TEST(victim_waits());
        BOOST_TEST(kill() >= 1);
        const auto killed = steady::now();
        BOOST_TEST(waits.get() == "connection_error");
        say("told", steady::now() - killed);
        BOOST_TEST((steady::now() - killed < interval + slack));
        held.release();
        (void)head.get();
        BOOST_TEST(eventually([&] { return free(sqlserver::resource_of(n)) && free(sqlserver::queue_of(n)); }));
        BOOST_TEST(locks.try_acquire(n, 10s).has_value());
    }
}

// One who waits behind the head of the queue holds nothing; the head holds the queue, and waits for the bell.
void who_waits_for_a_lease_leaves_nothing_behind(fixture& f, bool at_the_head) {
    auto locks = f.open(f.victim()), others = f.open();
    const auto k = sqlserver::lease_keys_of(f.schema, f.n);
    auto held = f.open().acquire(f.n);
    auto head = in_background([&] { return at_the_head ? "" : end_of([&] { (void)others.acquire(f.n); }); });
    BOOST_TEST(eventually([&] { return at_the_head || !f.free(k.queue); }));
    auto waits = in_background([&] { return end_of([&] { (void)locks.acquire(f.n); }); });
    BOOST_TEST(f.victim_waits());
    BOOST_TEST(f.kill() >= 1);
    const auto killed = steady::now();
    BOOST_TEST(waits.get() == "connection_error");
    say("told", steady::now() - killed);
    BOOST_TEST((steady::now() - killed < interval + slack));
    BOOST_TEST(f.sql("SELECT COUNT(*) FROM {s}.lock WHERE expires_at > SYSUTCDATETIME()") == "1");
    held.release();
    BOOST_TEST(head.get() == (at_the_head ? "" : "granted"));
    BOOST_TEST(eventually([&] { return f.free(k.queue) && f.free(k.bell); }));
    BOOST_TEST(f.sql("SELECT COUNT(*) FROM {s}.lock WHERE expires_at > SYSUTCDATETIME()") == "0");
    BOOST_TEST(locks.try_acquire(f.n, 10s).has_value());
}

BOOST_FIXTURE_TEST_CASE(who_waits_for_a_lease_is_told_and_leaves_nothing_behind, fixture) {
    who_waits_for_a_lease_leaves_nothing_behind(*this, false);
}

boost::test_tools::assertion_result frees_what_waiters_hold(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result yes{!test::sqlserver_connection{*test::sqlserver()}
                                                 .sql("SELECT CAST(@@VERSION AS nvarchar(200))")
                                                 .starts_with("Babelfish")};
    yes.message() << "Babelfish 4.3 keeps locked what a session held that was killed while it waited";
    return yes;
}

BOOST_FIXTURE_TEST_CASE(the_head_of_the_queue_is_told_and_leaves_nothing_behind, fixture,
                        *boost::unit_test::precondition(frees_what_waiters_hold)) {
    who_waits_for_a_lease_leaves_nothing_behind(*this, true);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace rowlock
