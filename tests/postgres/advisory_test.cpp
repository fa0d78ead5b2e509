// Advisory locks against a real server: round trips, races between a wait's end and its grant, sessions that die.
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <random>
#include <sstream>
#include <thread>

#include <rowlock/error.hpp>
#include <rowlock/postgres.hpp>
#include <rowlock/rowlock.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_server.hpp>
#include <support/recorder.hpp>
#include <support/slack.hpp>
#include <support/socket_calls.hpp>

using namespace std::chrono_literals;
using rowlock::test::eventually;
using rowlock::test::in_background;
using rowlock::test::patience;
using rowlock::test::postgres_server;
using rowlock::test::slack;
using rowlock::test::slowness;
using rowlock::test::throws;
using steady = std::chrono::steady_clock;

namespace {

constexpr auto advisory_locks =
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database())";

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    std::string url = "postgresql+advisory:" + server.conninfo(database);

    fixture() { (void)server.new_complaints(); }

    rowlock::provider open(rowlock::options opt = {}) const { return rowlock::open(url, std::move(opt)); }
    std::string sql(const std::string& text) const { return server.sql(database, text); }
    int sessions() const {
        return std::stoi(
            sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = "
                "current_database() AND pid <> pg_backend_pid()"));
    }
    // Server processes that wait for an advisory lock.
    bool waiting(int count) const {
        return eventually(
            [&] { return sql(std::string{advisory_locks} + " AND NOT granted") == std::to_string(count); });
    }
};

// A cancellation that falls into the microseconds between a grant and its answer can only be an error to the server,
// and gets into its log; nothing else may.
int unavoidable(const std::string& complaints) {
    int count = 0;
    std::istringstream lines{complaints};
    for (std::string line; std::getline(lines, line); ++count)
        BOOST_TEST(line.ends_with("ERROR:  canceling statement due to user request"), line);
    return count;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(advisory, fixture)

BOOST_AUTO_TEST_CASE(a_cycle_is_two_sends_and_two_receives) {
    auto locks = open();
    rowlock::mutex m{locks, "n"};
    rowlock::shared_mutex s{locks, "s"};
    rowlock::semaphore n{locks, "p", 3};
    const auto count = [](auto cycle) {
        cycle();  // prepares the statements
        const int sends = rowlock::test::sends, receives = rowlock::test::receives, polls = rowlock::test::polls;
        for (int i = 0; i < 10; ++i) cycle();
        BOOST_TEST(rowlock::test::sends - sends == 20);
        BOOST_TEST(rowlock::test::receives - receives == 20);
        BOOST_TEST(rowlock::test::polls - polls >= 20);
        BOOST_TEST(rowlock::test::polls - polls <= 21);  // one for each answer, and one if the alarm rings meanwhile
    };
    count([&] { m.acquire().release(); });
    count([&] { BOOST_TEST(m.try_acquire_for(5s).has_value()); });
    count([&] { s.acquire_shared().release(); });
    count([&] { n.acquire().release(); });
    BOOST_TEST(sessions() == 1);
}

BOOST_AUTO_TEST_CASE(who_knows_that_it_is_busy_waits_without_a_try) {
    auto locks = open(), others = open();
    rowlock::mutex mine{locks, "n"}, theirs{others, "n"};
    for (int round = 0; round < 3; ++round) {
        auto held = theirs.acquire();
        BOOST_TEST(!mine.try_acquire());
        int sends = 0;
        std::jthread waiter{[&] {
            const int before = rowlock::test::sends;
            (void)mine.acquire();
            sends = rowlock::test::sends - before;
        }};
        BOOST_TEST(waiting(1));
        held.release();
        waiter.join();
        // The first one also connects, and prepares what it sends.
        if (round > 0) BOOST_TEST(sends == 2, "to wait, and to release, but " << sends << " were sent");
    }
}

// A lock that was waited for stays in the connection of the wait; what used to be busy must not be.
BOOST_AUTO_TEST_CASE(what_was_busy_once_is_not_waited_for_ever_after) {
    auto locks = open(), others = open();
    std::vector<rowlock::lock_handle> held;
    for (int i = 0; i < 20; ++i) {
        const auto name = "n" + std::to_string(i);
        auto first = others.acquire(name);
        BOOST_TEST(!locks.try_acquire(name));
        first.release();
        BOOST_TEST(locks.try_acquire(name, 5s).has_value());  // sees that nobody has it
        held.push_back(locks.try_acquire(name, 5s).value());
    }
    BOOST_TEST(sql("SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory'") == "1");
}

BOOST_AUTO_TEST_CASE(ten_thousand_locks_are_one_connection) {
    // The server's table of locks has room for max_locks_per_transaction * max_connections of them.
    auto locks = open();
    std::vector<rowlock::lock_handle> held;
    for (int i = 0; i < 10'000; ++i) held.push_back(locks.acquire("n" + std::to_string(i)));
    BOOST_TEST(sessions() == 1);
    BOOST_TEST(sql(advisory_locks) == "10000");
    held.clear();
    BOOST_TEST(sql(advisory_locks) == "0");
}

BOOST_AUTO_TEST_CASE(a_release_does_not_queue_behind_a_wait) {
    auto locks = open(), others = open();
    auto mine = locks.acquire("mine");
    auto theirs = std::make_optional(others.acquire("theirs"));
    std::optional<rowlock::lock_handle> got;
    std::jthread waiter{[&] { got = locks.acquire("theirs"); }};
    BOOST_TEST(waiting(1));
    const auto started = steady::now();
    mine.release();
    BOOST_TEST((steady::now() - started < slack));
    BOOST_TEST(others.try_acquire("mine").has_value());
    BOOST_TEST(waiting(1));
    theirs.reset();
    waiter.join();
    BOOST_TEST(got.has_value());
}

// A timeout or a cancellation that falls together with the grant: whatever comes out, nothing may stay behind.
BOOST_AUTO_TEST_CASE(no_ended_wait_leaves_a_lock_behind) {
    constexpr int threads = 12;
    const int rounds = 150;
    std::atomic<int> granted{0}, ended{0}, inside{0}, overlaps{0};
    {
        std::vector<std::jthread> all;
        for (int t = 0; t < threads; ++t)
            all.emplace_back([&, t] {
                std::minstd_rand random{static_cast<unsigned>(t)};
                auto locks = open();
                for (int i = 0; i < rounds; ++i) {
                    std::stop_source stop;
                    std::optional<rowlock::lock_handle> held;
                    std::jthread stopper;
                    if (i % 2 == 0)
                        stopper = std::jthread{[&stop, us = random() % 5000] {
                            std::this_thread::sleep_for(std::chrono::microseconds{us});
                            stop.request_stop();
                        }};
                    try {
                        held =
                            locks.try_acquire("n", std::chrono::microseconds{1000 + random() % 5000}, stop.get_token());
                    } catch (const rowlock::cancelled&) {
                    }
                    if (!held) {
                        ++ended;
                        continue;
                    }
                    ++granted;
                    if (inside.fetch_add(1) != 0) ++overlaps;
                    std::this_thread::sleep_for(std::chrono::microseconds{random() % 1000});
                    --inside;
                }
            });
    }
    BOOST_TEST_MESSAGE(granted << " granted, " << ended << " ended");
    BOOST_TEST(overlaps == 0);
    BOOST_TEST(ended > 0);
    BOOST_TEST(granted > 0);
    BOOST_TEST(sql(advisory_locks) == "0");
    BOOST_TEST(unavoidable(server.new_complaints()) <= threads * rounds / 100);
}

// By its timeout, and because the server is asked to. Nothing was granted, so none of it has to get into the log, but
// for a request that comes later still.
BOOST_AUTO_TEST_CASE(a_wait_that_is_ended_twice_is_no_complaint) {
    constexpr int threads = 8, rounds = 600;
    auto locks = open();
    const auto held = locks.acquire("n");
    std::atomic<int> granted{0};
    {
        std::vector<std::jthread> all;
        for (int t = 0; t < threads; ++t)
            all.emplace_back([&, t] {
                std::minstd_rand random{static_cast<unsigned>(t)};
                auto mine = open();
                for (int i = 0; i < rounds; ++i) {
                    std::stop_source stop;
                    const auto until = steady::now() + 3ms;
                    std::jthread stopper{[&stop, at = until - std::chrono::microseconds{random() % 1000}] {
                        std::this_thread::sleep_until(at);
                        stop.request_stop();
                    }};
                    try {
                        granted += mine.try_acquire("n", until - steady::now(), stop.get_token()).has_value();
                    } catch (const rowlock::cancelled&) {
                    }
                }
            });
    }
    BOOST_TEST(granted == 0);
    BOOST_TEST(unavoidable(server.new_complaints()) <= threads * rounds / 1000 * slowness);
}

BOOST_AUTO_TEST_CASE(no_ended_wait_for_a_permit_leaves_one_behind) {
    constexpr int threads = 10, permits = 3;
    std::atomic<int> inside{0}, overlaps{0}, granted{0};
    {
        std::vector<std::jthread> all;
        for (int t = 0; t < threads; ++t)
            all.emplace_back([&, t] {
                std::minstd_rand random{static_cast<unsigned>(t)};
                auto locks = open();
                rowlock::semaphore s{locks, "n", permits};
                for (int i = 0; i < 60; ++i) {
                    const auto held = s.try_acquire_for(std::chrono::microseconds{1000 + random() % 20000});
                    if (!held) continue;
                    ++granted;
                    if (inside.fetch_add(1) >= permits) ++overlaps;
                    std::this_thread::sleep_for(std::chrono::microseconds{random() % 2000});
                    --inside;
                }
            });
    }
    BOOST_TEST_MESSAGE(granted << " granted");
    BOOST_TEST(overlaps == 0);
    BOOST_TEST(granted > 0);
    BOOST_TEST(sql(advisory_locks) == "0");
    BOOST_TEST(server.new_complaints() == "");
}

BOOST_AUTO_TEST_CASE(a_timeout_and_a_cancellation_write_nothing_into_the_servers_log) {
    auto locks = open();
    const auto held = locks.acquire("n");
    BOOST_TEST(!locks.try_acquire("n"));
    BOOST_TEST(!locks.try_acquire("n", 20ms));
    BOOST_TEST(eventually([&] { return sessions() == 2; }), "connected, also if that took longer than the wait");
    std::stop_source stop;
    auto waits =
        in_background([&] { return throws<rowlock::cancelled>([&] { (void)locks.acquire("n", stop.get_token()); }); });
    BOOST_TEST(waiting(1));
    stop.request_stop();
    BOOST_TEST(waits.get());
    BOOST_TEST(server.new_complaints() == "");
    BOOST_TEST(waiting(0));
    BOOST_TEST(sessions() == 2, "the connection that waited is kept");
}

BOOST_AUTO_TEST_CASE(a_shared_lock_does_not_overtake_who_waits) {
    auto locks = open(), others = open();
    rowlock::shared_mutex s{locks, "n"}, theirs{others, "n"};
    auto one = std::make_optional(s.acquire_shared());
    auto two = s.try_acquire_shared();
    BOOST_TEST(two.has_value());
    std::optional<rowlock::lock_handle> writer;
    std::jthread waits{[&] { writer = theirs.acquire(); }};
    BOOST_TEST(waiting(1));
    BOOST_TEST(!s.try_acquire_shared(), "though the session shares it already");
    one.reset();
    BOOST_TEST(waiting(1));
    two.reset();
    waits.join();
    BOOST_TEST(writer.has_value());
}

// Shares and permits do not go together; who finds out has announced itself on two keys by then.
BOOST_AUTO_TEST_CASE(what_was_refused_leaves_nothing_behind) {
    auto locks = open(), others = open();
    {
        const auto share = (rowlock::shared_mutex{others, "n"}.acquire_shared());
        BOOST_TEST(!(rowlock::semaphore{locks, "n", 2}.try_acquire()));
    }
    BOOST_TEST(sql(advisory_locks) == "0");
    {
        const auto permit = (rowlock::semaphore{others, "n", 2}.acquire());
        BOOST_TEST(!(rowlock::shared_mutex{locks, "n"}.try_acquire_shared()));
    }
    BOOST_TEST(sql(advisory_locks) == "0");
}

BOOST_AUTO_TEST_CASE(a_killed_session_is_heard_at_once) {
    const auto heard = std::make_shared<rowlock::test::recorder>();
    auto locks = open({.events = heard}), others = open();
    steady::duration worst{};
    for (int i = 0; i < 20; ++i) {
        auto held = locks.acquire("n"), second = locks.acquire("m");
        steady::time_point at;
        std::atomic<bool> lost{false};
        const std::stop_callback on_loss{held.lost(), [&] {
                                             at = steady::now();
                                             lost = true;
                                         }};
        const auto before = steady::now();
        const auto kill = others.status("n");  // also warms the connection up
        (void)sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted LIMIT 1");
        BOOST_TEST(eventually([&] { return lost.load(); }));
        worst = std::max(worst, at - before);
        BOOST_TEST((held.lost_reason() == rowlock::loss_reason::connection));
        BOOST_TEST(held.lost_detail() == "terminating connection due to administrator command");
        BOOST_TEST(eventually([&] { return second.lost().stop_requested(); }), "all locks of that session");
        held.release();
    }
    BOOST_TEST_MESSAGE("worst, psql's start included: " << worst.count() / 1000 << " us");
    BOOST_TEST(heard->count("lost") == 40);
    BOOST_TEST(locks.try_acquire("n").has_value(), "with a new session");
}

BOOST_AUTO_TEST_CASE(a_killed_session_ends_its_wait) {
    auto locks = open(), others = open();
    const auto held = others.acquire("n");
    auto waits = in_background([&] { return throws<rowlock::connection_error>([&] { (void)locks.acquire("n"); }); });
    BOOST_TEST(waiting(1));
    (void)sql("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
    BOOST_TEST(waits.get());
    BOOST_TEST(!locks.try_acquire("n", 20ms), "the next wait has a new session");
}

BOOST_AUTO_TEST_CASE(a_circle_of_waits_between_programs_ends_at_their_deadlines) {
    auto one = open(), two = open();
    auto a = std::make_optional(one.acquire("a")), b = std::make_optional(two.acquire("b"));
    // No session waits for itself here, and PostgreSQL sees no deadlock; nor is it one, as any thread may release.
    auto waits = in_background([&] { return one.try_acquire("b", 1500ms).has_value(); });
    BOOST_TEST(!two.try_acquire("a", 1500ms));
    BOOST_TEST(!waits.get());
}

BOOST_AUTO_TEST_CASE(transaction_pooling_is_refused) {
    const auto pooled = server.pooler_conninfo("transaction", database);
    BOOST_TEST(eventually([&] {
        try {
            (void)rowlock::open("postgresql+advisory:" + pooled);
        } catch (const rowlock::unsupported& e) {
            BOOST_TEST(std::string{e.what()}.find("postgresql+lease:") != std::string::npos);
            return true;
        } catch (const rowlock::connection_error&) {  // PgBouncer is not up yet
        }
        return false;
    }));
}

BOOST_AUTO_TEST_CASE(session_pooling_works) {
    const auto pooled = "postgresql+advisory:" + server.pooler_conninfo("session", database);
    std::optional<rowlock::provider> locks;
    BOOST_TEST(eventually([&] {
        try {
            locks = rowlock::open(pooled);
            return true;
        } catch (const rowlock::connection_error&) {
            return false;
        }
    }));
    auto held = locks->acquire("n");
    BOOST_TEST(!locks->try_acquire("n"));
    BOOST_TEST(!open().try_acquire("n", 20ms));
    std::stop_source stop;
    auto waits =
        in_background([&] { return throws<rowlock::cancelled>([&] { (void)locks->acquire("n", stop.get_token()); }); });
    BOOST_TEST(waiting(1));
    stop.request_stop();
    BOOST_TEST(waits.get());
    held.release();
    BOOST_TEST(open().try_acquire("n").has_value());
}

BOOST_AUTO_TEST_CASE(what_cannot_be_reached_is_an_error_in_time) {
    const auto started = steady::now();
    BOOST_CHECK_THROW((void)rowlock::open("postgresql://127.0.0.1:1/x"), rowlock::connection_error);
    BOOST_CHECK_THROW((void)rowlock::open("postgresql://192.0.2.1/x", {.operation_timeout = 200ms}),
                      rowlock::connection_error);
    BOOST_TEST((steady::now() - started < 200ms + slack));
    BOOST_CHECK_THROW((void)rowlock::open("postgresql:no such word"), std::invalid_argument);
    BOOST_CHECK_THROW((void)rowlock::open("postgresql:" + server.conninfo("nowhere")), rowlock::connection_error);
}

BOOST_AUTO_TEST_CASE(a_restarted_server_is_heard_and_used_again) {
    auto locks = open();
    auto held = locks.acquire("n");
    server.restart("immediate");
    BOOST_TEST(eventually([&] { return held.lost().stop_requested(); }));
    BOOST_TEST((held.lost_reason() == rowlock::loss_reason::connection));
    BOOST_CHECK_THROW(held.verify(), rowlock::lock_lost);
    BOOST_TEST(locks.try_acquire("n").has_value());
}

BOOST_AUTO_TEST_SUITE_END()
