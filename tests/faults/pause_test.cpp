// Processes that stand still beyond their lease: what they hear when they go on, and what the fence keeps them from.
#include <boost/test/unit_test.hpp>

#include <cstdlib>

#include <rowlock/error.hpp>

#include <support/actor_process.hpp>
#include <support/sqlite_file.hpp>

using namespace std::chrono_literals;
using rowlock::test::actor_process;
using rowlock::test::slack;
using steady = std::chrono::steady_clock;

namespace {

constexpr auto ttl = 300ms * rowlock::test::slowness;

struct fixture {
    fixture() {
        db.run("CREATE TABLE account (balance TEXT)");
        db.run("INSERT INTO account VALUES ('start')");
    }

    rowlock::test::sqlite_file db;
    rowlock::provider locks = db.open({.ttl = ttl});
    const std::string file = db.path().string();

    actor_process holder() const {
        actor_process a;
        a.open(db.url(), " ttl=" + std::to_string(ttl.count()));
        a.expect_ok("acquire h n exclusive -");
        return a;
    }
    std::string balance() const { return db.ask("SELECT balance FROM account"); }
    // The lock goes to us while `a` stands still.
    rowlock::lock_handle overtake(actor_process& a) {
        a.pause();
        auto mine = locks.try_acquire("n", ttl + slack * 5);
        BOOST_REQUIRE_MESSAGE(mine.has_value(), "the lease of a process that stands still ends");
        return std::move(*mine);
    }
    // Writes in a transaction that is fenced by `held`.
    void write(const rowlock::lock_handle& held, const std::string& value) const {
        auto raw = db.raw();
        raw.exec("BEGIN IMMEDIATE");
        rowlock::sqlite::fence(raw, held);
        SQLite::Statement set{raw, "UPDATE account SET balance = ?"};
        set.bind(1, value);
        set.exec();
        raw.exec("COMMIT");
    }
};

int trials() { return std::getenv("ROWLOCK_TEST_FULL") ? 50 : 4; }

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pausing, fixture)

BOOST_AUTO_TEST_CASE(a_paused_holder_hears_it_first_thing_and_its_fenced_write_is_refused) {
    for (int i = 0; i < trials(); ++i) {
        auto paused = holder();
        auto mine = overtake(paused);
        write(mine, "successor");
        paused.resume();
        BOOST_TEST(paused.ask("lost h") == "lost expired");
        BOOST_TEST(paused.ask("write " + file + " h stale").starts_with("error lock_lost"));
        BOOST_TEST(balance() == "successor");
        BOOST_TEST(paused.ask("verify h").starts_with("error lock_lost"));
        BOOST_TEST(paused.ask("release h") == "ok", "what is lost is not released, and that is no error");
        BOOST_CHECK_NO_THROW(mine.verify());
        BOOST_TEST(!locks.try_acquire("n"), "nor is it taken from the successor");
    }
}

BOOST_AUTO_TEST_CASE(control_without_the_fence_an_update_is_lost) {
    auto paused = holder();
    const auto mine = overtake(paused);
    write(mine, "successor");
    paused.resume();
    BOOST_TEST(paused.ask("write " + file + " - stale") == "ok");
    BOOST_TEST(balance() == "stale", "the successor's write is gone: this is what the fence is for");
}

BOOST_AUTO_TEST_CASE(a_fenced_write_of_a_stale_holder_is_refused_before_anybody_took_over) {
    auto paused = holder();
    paused.pause();
    BOOST_TEST(rowlock::test::eventually([&] {
                   const auto all = locks.status();
                   return all.empty();
               }),
               "the lease has ended");
    paused.resume();
    BOOST_TEST(paused.ask("write " + file + " h stale").starts_with("error lock_lost"));
    BOOST_TEST(balance() == "start");
}

BOOST_AUTO_TEST_CASE(a_fenced_transaction_keeps_the_lock_from_others_until_it_ends) {
    auto paused = holder();
    paused.expect_ok("begin " + file + " h");
    paused.pause();
    const auto end = steady::now() + 2 * ttl;
    auto impatient = db.open({.ttl = ttl, .operation_timeout = 50ms});
    while (steady::now() < end) {
        try {
            BOOST_TEST(!impatient.try_acquire("n", 50ms).has_value(), "the fence pins the lock");
        } catch (const rowlock::connection_error&) {  // SQLite has one writer: nothing can be written meanwhile
        }
    }
    paused.resume();
    BOOST_TEST(paused.ask("end protected") == "ok");
    BOOST_TEST(balance() == "protected");
    BOOST_TEST(locks.try_acquire("n", slack * 5).has_value());
}

BOOST_AUTO_TEST_CASE(control_without_a_transaction_the_lock_goes_on_in_that_time) {
    auto paused = holder();
    const auto started = steady::now();
    const auto mine = overtake(paused);
    BOOST_TEST((steady::now() - started < 2 * ttl + slack));
}

BOOST_AUTO_TEST_CASE(a_pause_shorter_than_the_lease_loses_nothing) {
    auto a = holder();
    for (int i = 0; i < 5; ++i) {
        a.pause();
        BOOST_TEST(!locks.try_acquire("n", ttl / 6));
        a.resume();
        BOOST_TEST(a.ask("lost h") == "held");
        BOOST_TEST(!locks.try_acquire("n", ttl / 2), "and it is renewed again");
    }
    BOOST_TEST(a.ask("write " + file + " h mine") == "ok");
}

BOOST_AUTO_TEST_CASE(nobody_gets_it_before_the_lease_ends) {
    for (int i = 0; i < trials(); ++i) {
        const auto granted = steady::now();
        auto paused = holder();
        const auto mine = overtake(paused);
        BOOST_TEST((steady::now() - granted >= ttl));
    }
}

// A database that nobody can write to for longer than the lease: its holder is told before it ends.
BOOST_AUTO_TEST_CASE(a_holder_whose_renewals_are_kept_out_is_told_in_time) {
    auto short_of_time = db.open({.ttl = ttl, .operation_timeout = 50ms});
    const auto held = short_of_time.acquire("n");
    const auto bound = steady::now() + ttl;
    steady::time_point fired{};
    std::atomic<bool> lost{false};
    const std::stop_callback on_loss{held.lost(), [&] {
                                         fired = steady::now();
                                         lost = true;
                                     }};
    auto raw = db.raw();
    raw.exec("BEGIN IMMEDIATE");
    BOOST_TEST(rowlock::test::eventually([&] { return lost.load(); }));
    raw.exec("ROLLBACK");
    BOOST_TEST((fired < bound + ttl / 3), "it may have been renewed just before");
    BOOST_TEST((held.lost_reason() == rowlock::loss_reason::expired));
    BOOST_TEST(locks.try_acquire("n", ttl + slack).has_value());
}

BOOST_AUTO_TEST_CASE(a_fence_needs_a_transaction_and_a_lock) {
    auto held = locks.acquire("n");
    auto raw = db.raw();
    BOOST_CHECK_THROW(rowlock::sqlite::fence(raw, held), std::logic_error);
    raw.exec("BEGIN");
    BOOST_CHECK_NO_THROW(rowlock::sqlite::fence(raw, held));
    raw.exec("ROLLBACK");
    auto moved = std::move(held);
    raw.exec("BEGIN");
    BOOST_CHECK_THROW(rowlock::sqlite::fence(raw, held), std::logic_error);  // NOLINT(bugprone-use-after-move)
    raw.exec("ROLLBACK");
    moved.release();
    raw.exec("BEGIN IMMEDIATE");
    BOOST_CHECK_THROW(rowlock::sqlite::fence(raw, moved), rowlock::lock_lost);
}

BOOST_AUTO_TEST_CASE(a_fence_refuses_a_broken_lock) {
    auto held = locks.acquire("n");
    BOOST_TEST(locks.break_lock("n", "test"));
    BOOST_CHECK_THROW(write(held, "stale"), rowlock::lock_lost);
    BOOST_TEST(balance() == "start");
}

BOOST_AUTO_TEST_SUITE_END()
