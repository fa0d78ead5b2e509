// Leases against a real server: races between a wait's end and its grant, sessions that die with what wakes others, and
// what waiting costs.
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <random>
#include <sstream>
#include <thread>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>
#include <rowlock/schema.hpp>

#include <support/background.hpp>
#include <support/critical_section.hpp>
#include <support/eventually.hpp>
#include <support/postgres_connection.hpp>
#include <support/postgres_server.hpp>
#include <support/recorder.hpp>
#include <support/slack.hpp>
#include <support/temp_dir.hpp>

using namespace std::chrono_literals;
using rowlock::test::critical_section;
using rowlock::test::eventually;
using rowlock::test::in_background;
using rowlock::test::postgres_connection;
using rowlock::test::postgres_server;
using rowlock::test::slack;
using steady = std::chrono::steady_clock;

namespace {

// So that no bound of a test hangs on it.
constexpr auto long_ttl = 60s;

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    postgres_connection look{server.conninfo(database)};

    fixture() {
        rowlock::open_schema("postgresql:" + server.conninfo(database)).migrate();
        (void)server.new_complaints();
    }
    rowlock::provider open(rowlock::options opt = {.ttl = long_ttl},
                           const std::string& scheme = "postgresql+lease:") const {
        return rowlock::open(scheme + server.conninfo(database), std::move(opt));
    }
    std::string keys(const std::string& which = "true") {
        return look.sql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database()) AND " +
            which);
    }
    bool somebody_waits() {
        return eventually([&] { return keys("NOT granted") == "1"; });
    }
    // Nobody holds anything, and the rows agree about that.
    std::string leases() {
        return look.sql(
            "SELECT (SELECT count(*) FROM rowlock.lock WHERE expires_at > clock_timestamp() OR provider IS NOT NULL "
            "OR sharers <> 0 OR upgraders <> 0 OR permits <> 0) + "
            "(SELECT count(*) FROM rowlock.part WHERE provider IS NOT NULL)");
    }
};

struct tally {
    std::atomic<int> granted{0}, timed_out{0}, cancelled{0}, overlaps{0};
};

// Where one writer may be, or any number of readers.
struct room {
    std::atomic<int> readers{0}, writers{0};
    void read(tally& t) {
        ++readers;
        if (writers != 0) ++t.overlaps;
        std::this_thread::yield();
        --readers;
    }
    void write(tally& t) {
        if (writers.fetch_add(1) != 0 || readers != 0) ++t.overlaps;
        std::this_thread::yield();
        --writers;
    }
};

// A cancellation that falls into the microseconds between a grant and its answer can only be an error to the server.
int unavoidable(const std::string& complaints) {
    int count = 0;
    std::istringstream lines{complaints};
    for (std::string line; std::getline(lines, line); ++count)
        BOOST_TEST(line.ends_with("ERROR:  canceling statement due to user request"), line);
    return count;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(lease, fixture)

// As a renewal leaves it that waited for the release: locked, and not changed.
BOOST_AUTO_TEST_CASE(free_it_is_not_busy_because_its_row_is_locked_for_a_moment) {
    auto locks = open();
    locks.acquire("n").release();
    int granted = 0, granted_together = 0;
    for (int i = 0; i < 40; ++i) {
        (void)look.sql("BEGIN");
        (void)look.sql("SELECT name FROM rowlock.lock WHERE name = 'n' FOR NO KEY UPDATE");
        std::jthread moment{[&] {
            std::this_thread::sleep_for(5ms);
            (void)look.sql("COMMIT");
        }};
        if (i % 2 == 0)
            granted += locks.try_acquire("n").has_value();
        else
            granted_together += locks.try_acquire_all({"m", "n"}).has_value();
    }
    BOOST_TEST(granted > 10);
    BOOST_TEST(granted_together > 10);
}

// The same where somebody has run out, and when who alone has the upgrade lock wants more.
BOOST_AUTO_TEST_CASE(what_ran_out_does_not_stay_because_its_row_is_locked_for_a_moment) {
    auto locks = open();
    rowlock::shared_mutex s{locks, "n"};
    rowlock::upgrade_mutex u{locks, "n"};
    const auto during_a_moment = [&](const std::string& rows, auto question) {
        (void)look.sql("BEGIN");
        (void)look.sql("SELECT name FROM " + rows + " FOR NO KEY UPDATE");
        std::jthread moment{[&] {
            std::this_thread::sleep_for(5ms);
            (void)look.sql("COMMIT");
        }};
        return question();
    };
    int granted = 0, upgraded = 0;
    for (int i = 0; i < 20; ++i) {
        const auto gone = s.acquire_shared();
        (void)look.sql("UPDATE rowlock.part SET expires_at = 'epoch' WHERE provider IS NOT NULL");
        granted += during_a_moment("rowlock.part WHERE provider IS NOT NULL",
                                   [&] { return locks.try_acquire("n").has_value(); });
    }
    for (int i = 0; i < 20; ++i) {
        auto held = u.acquire_upgrade();
        upgraded += during_a_moment("rowlock.lock", [&] { return held.try_upgrade(); });
    }
    BOOST_TEST(granted > 10);
    BOOST_TEST(upgraded > 10);
    BOOST_TEST(leases() == "0");
}

// An upgrade moves a lease to another row: a renewal that began before, and comes to the old row after it, must not
// take it for lost.
BOOST_AUTO_TEST_CASE(a_renewal_that_an_upgrade_overtakes_loses_nothing) {
    const auto heard = std::make_shared<rowlock::test::recorder>();
    auto locks = open({.ttl = long_ttl, .events = heard}), others = open();
    const auto first = locks.acquire("first");
    BOOST_TEST(!locks.try_acquire("first", 100ms), "and now there is another session, for the upgrade");
    auto held = rowlock::upgrade_mutex{locks, "n"}.acquire_upgrade();
    const auto broken = others.acquire("broken");

    // It writes exclusive leases first, and is kept waiting there.
    (void)look.sql("BEGIN");
    (void)look.sql("SELECT name FROM rowlock.lock WHERE name = 'first' FOR UPDATE");
    BOOST_TEST(others.break_lock("broken", "so that all renew"));
    BOOST_TEST(eventually([&] {
        return look.sql(
                   "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                   "wait_event = 'transactionid'") == "1";
    }));
    BOOST_TEST(held.try_upgrade());
    const auto renewed = heard->count("renewed");
    (void)look.sql("COMMIT");
    BOOST_TEST(heard->heard("renewed", renewed + 2));
    BOOST_TEST(heard->count("lost") == 0);
    BOOST_CHECK_NO_THROW(held.verify());
}

// Timeouts and cancellations that fall together with grants and releases: whatever comes out, nothing stays behind.
BOOST_AUTO_TEST_CASE(no_ended_wait_leaves_a_lease_behind) {
    constexpr int threads = 8, providers = 4, rounds = 400;
    const auto seed = std::random_device{}();
    BOOST_TEST_MESSAGE("seed " << seed);
    rowlock::test::temp_dir dir;
    const std::string files[] = {(dir.path() / "a").string(), (dir.path() / "b").string()};
    std::vector<rowlock::provider> locks;
    for (int i = 0; i < providers; ++i) locks.push_back(open());
    tally t;
    room shared;
    std::atomic<int> visits{0};
    {
        std::vector<std::jthread> all;
        for (int n = 0; n < threads; ++n)
            all.emplace_back([&, n] {
                std::minstd_rand random{seed + static_cast<unsigned>(n)};
                const auto up_to_5_ms = [&] { return std::chrono::microseconds{random() % 5000}; };
                auto mine = locks[static_cast<std::size_t>(n % providers)];
                rowlock::shared_mutex s{mine, "s"};
                critical_section inside[] = {critical_section{files[0]}, critical_section{files[1]}};
                for (int i = 0; i < rounds; ++i) {
                    std::stop_source stop;
                    std::jthread stopper;
                    if (random() % 2 == 0)
                        stopper = std::jthread{[&stop, after = up_to_5_ms()] {
                            std::this_thread::sleep_for(after);
                            stop.request_stop();
                        }};
                    const auto which = random() % 4;
                    try {
                        std::optional<rowlock::lock_handle> held;
                        if (which == 2)
                            held = s.try_acquire_shared_for(up_to_5_ms(), stop.get_token());
                        else if (which == 3)
                            held = s.try_acquire_for(up_to_5_ms(), stop.get_token());
                        else
                            held = mine.try_acquire(which == 0 ? "a" : "b", up_to_5_ms(), stop.get_token());
                        if (!held) {
                            ++t.timed_out;
                            continue;
                        }
                        ++t.granted;
                        if (which == 2)
                            shared.read(t);
                        else if (which == 3)
                            shared.write(t);
                        else {
                            inside[which].visit();
                            ++visits;
                        }
                        std::this_thread::sleep_for(std::chrono::microseconds{random() % 500});
                    } catch (const rowlock::cancelled&) {
                        ++t.cancelled;
                    }
                }
                t.overlaps += inside[0].overlaps() + inside[1].overlaps();
            });
    }
    BOOST_TEST_MESSAGE(t.granted << " granted, " << t.timed_out << " timed out, " << t.cancelled << " cancelled");
    BOOST_TEST(t.overlaps == 0);
    BOOST_TEST(t.granted + t.timed_out + t.cancelled == threads * rounds);
    for (const auto* n : {&t.granted, &t.timed_out, &t.cancelled}) BOOST_TEST(*n > threads * rounds / 50);
    BOOST_TEST(critical_section{files[0]}.visits() + critical_section{files[1]}.visits() == visits);
    BOOST_TEST(look.sql("SELECT sum(token) FROM rowlock.lock") == std::to_string(t.granted),
               "as many grants were told as tokens were given");
    BOOST_TEST(keys() == "0", "with all the providers and their sessions alive");
    BOOST_TEST(leases() == "0");
    BOOST_TEST(unavoidable(server.new_complaints()) <= threads * rounds / 100);
}

BOOST_AUTO_TEST_CASE(control_without_the_lock_they_overlap) {
    rowlock::test::temp_dir dir;
    std::atomic<int> overlaps{0};
    {
        std::vector<std::jthread> all;
        for (int n = 0; n < 8; ++n)
            all.emplace_back([&] {
                critical_section inside{(dir.path() / "a").string()};
                for (int i = 0; i < 400; ++i) inside.visit();
                overlaps += inside.overlaps();
            });
    }
    BOOST_TEST(overlaps > 0);
}

// The bell is what wakes the next one, not what holds the lease.
BOOST_AUTO_TEST_CASE(a_session_that_dies_with_the_bell_takes_no_lease_along) {
    constexpr auto ttl = 600ms * rowlock::test::slowness;
    for (const std::string scheme : {"postgresql+lease:", "postgresql+advisory:"}) {
        const bool lease = scheme == "postgresql+lease:";
        const auto heard = std::make_shared<rowlock::test::recorder>();
        auto locks = open({.ttl = ttl, .owner = "holder", .events = heard}, scheme), others = open({}, scheme);
        auto held = locks.acquire("n");
        auto waits = in_background([&] {
            const auto got = others.acquire("n");
            return steady::now();
        });
        BOOST_TEST(somebody_waits());
        BOOST_TEST(look.sql("SELECT count(pg_terminate_backend(pid)) FROM (SELECT DISTINCT pid FROM pg_locks JOIN "
                            "pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted AND "
                            "application_name = 'holder') AS bell") == "1");
        if (!lease) {
            waits.get();
            BOOST_TEST(eventually([&] { return held.lost().stop_requested(); }),
                       "the control: a session's lock goes with its session");
            continue;
        }
        BOOST_TEST(heard->heard("renewed", heard->count("renewed") + 5), "by another session, beyond its first end");
        BOOST_TEST((waits.wait_for(0s) == std::future_status::timeout), "nobody gets it before");
        BOOST_TEST(!held.lost().stop_requested());
        BOOST_CHECK_NO_THROW(held.verify());
        const auto released = steady::now();
        held.release();
        BOOST_TEST((waits.get() - released < slack));
        BOOST_TEST(heard->count("lost") == 0);
    }
}

// An error of the server where a release is written: the lease is given back later, and so must be what wakes others.
BOOST_AUTO_TEST_CASE(a_release_that_fails_leaves_no_bell_behind) {
    (void)look.sql(
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'out of order'; END "
        "$$;");
    auto locks = open(), others = open(), third = open();
    for (const bool shared : {false, true}) {
        auto held = shared ? rowlock::shared_mutex{locks, "n"}.acquire_shared() : locks.acquire("n");
        (void)look.sql("CREATE TRIGGER broken BEFORE UPDATE ON rowlock.lock FOR EACH ROW EXECUTE FUNCTION broken()");
        BOOST_CHECK_THROW(held.release(), rowlock::connection_error);
        BOOST_TEST(leases() != "0", "the control: it is held still");
        (void)look.sql("DROP TRIGGER broken ON rowlock.lock");
        BOOST_TEST(eventually([&] { return leases() == "0"; }));
        BOOST_TEST(keys() == "0");
        auto next = others.acquire("n");
        auto waits = in_background([&] {
            const auto got = third.acquire("n");
            return steady::now();
        });
        BOOST_TEST(somebody_waits());
        const auto released = steady::now();
        next.release();
        BOOST_TEST((waits.get() - released < slack), "it does not sleep until the lease's end");
    }
}

BOOST_AUTO_TEST_CASE(waiting_writes_nothing_and_asks_nothing) {
    // A server in which nobody else writes to the log.
    postgres_server quiet{
        {"wal_level = minimal", "max_wal_senders = 0", "autovacuum = off", "checkpoint_timeout = 1h"}};
    const auto to = quiet.conninfo("postgres");
    rowlock::open_schema("postgresql:" + to).migrate();
    postgres_connection watch{to};
    const auto position = [&] { return watch.sql("SELECT pg_current_wal_insert_lsn()"); };
    // When each waiter's last statement began.
    const auto statements = [&] {
        return watch.sql(
            "SELECT string_agg(pid || ' ' || query_start, ', ' ORDER BY pid) FROM pg_stat_activity "
            "WHERE application_name = 'waiter'");
    };
    auto locks = rowlock::open("postgresql+lease:" + to, {.ttl = 600s});
    auto held = locks.acquire("n");
    constexpr int count = 8;
    std::vector<rowlock::provider> waiters;
    for (int i = 0; i < count; ++i)
        waiters.push_back(rowlock::open("postgresql+lease:" + to, {.ttl = 600s, .owner = "waiter"}));
    std::atomic<int> served{0};
    std::vector<std::jthread> all;
    for (auto& w : waiters)
        all.emplace_back([&] {
            (void)w.acquire("n");
            ++served;
        });
    BOOST_TEST(eventually([&] {
        return watch.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") ==
               std::to_string(count);
    }));

    // The head of the queue looks once more, a moment after it has come to wait.
    std::string asked;
    BOOST_TEST(eventually([&] {
        asked = statements();
        std::this_thread::sleep_for(200ms);
        return statements() == asked;
    }));
    const auto wal = position();
    std::this_thread::sleep_for(2s);  // what is measured takes time
    BOOST_TEST(position() == wal);
    BOOST_TEST(statements() == asked);

    // The control: who tries again and again.
    auto poller = rowlock::open("postgresql+lease:" + to, {.owner = "waiter"});
    BOOST_TEST(!poller.try_acquire("n"));
    const auto before = statements();
    BOOST_TEST(!poller.try_acquire("n"));
    BOOST_TEST(statements() != before);
    BOOST_TEST(position() == wal, "a busy try asks, but writes nothing either");
    held.release();
    for (auto& t : all) t.join();
    BOOST_TEST(served == count);
    BOOST_TEST(position() != wal, "the control: grants do write");
}

BOOST_AUTO_TEST_SUITE_END()
