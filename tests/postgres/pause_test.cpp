// Processes that are stopped beyond their lease and then go on writing: what the fence is for, many times over.
#include <boost/test/unit_test.hpp>

#include <pqxx/pqxx>

#include <atomic>
#include <thread>

#include <rowlock/postgres.hpp>
#include <rowlock/rowlock.hpp>

#include <support/actor_process.hpp>
#include <support/postgres_server.hpp>
#include <support/slack.hpp>

using namespace std::chrono_literals;
using rowlock::test::actor_process;
using rowlock::test::patience;
using rowlock::test::postgres_server;

namespace {

constexpr auto ttl = 50ms * rowlock::test::slowness;
// Mostly they wait for leases to end, so several at a time.
constexpr int lanes = 8;

struct outcome {
    std::atomic<int> trials{0}, refused{0}, lost_updates{0}, other{0};
};

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    std::string url = "postgresql:" + server.uri(database);

    fixture() {
        pqxx::connection c{url};
        rowlock::postgres::migrate(c);
        (void)server.sql(database,
                         "CREATE TABLE account (id int PRIMARY KEY, balance int) WITH (fillfactor = 50); "
                         "INSERT INTO account SELECT i, 0 FROM generate_series(1, 100) AS i");
    }

    // Somebody gets the lock, reads the balance and is stopped; another one gets the lock, adds 1 and writes; then the
    // first one goes on with what it had read.
    void run_lane(int account, int trials, bool fenced, outcome& o) const {
        actor_process stopped;
        stopped.expect_ok("open postgresql+lease:" + server.uri(database) + " ttl=" + std::to_string(ttl.count()));
        auto locks = rowlock::postgres::leases(url);
        pqxx::connection c{url};
        const auto id = std::to_string(account);
        const auto balance = [&] {
            pqxx::work tx{c};
            return tx.exec("SELECT balance FROM account WHERE id = " + id)[0][0].as<int>();
        };
        for (int i = 0; i < trials; ++i) {
            // A name of its own: the stopped one would be in the way of whoever comes third.
            const auto name = "account-" + id + "-" + std::to_string(i);
            stopped.expect_ok("acquire h " + name + " exclusive -");
            const int read = balance();
            stopped.pause();
            auto held = locks.try_acquire(name, patience);
            if (!held) throw std::runtime_error{"the lease of a process that stands still has not ended"};
            const auto sum = std::to_string(read + 1);
            {
                pqxx::work tx{c};
                if (fenced) rowlock::postgres::fence(tx, *held);
                tx.exec("UPDATE account SET balance = " + sum + " WHERE id = " + id);
                tx.commit();
            }
            if (i % 4 < 2) held.reset();  // it has been given back, or not, when the first one writes
            stopped.tell("set " + url + (fenced ? " h " : " - ") + id + " " + sum);
            stopped.resume();
            const auto answer = stopped.answer();
            const int writes = answer == "ok" ? 2 : 1;
            ++o.trials;
            o.refused += answer.starts_with("error lock_lost");
            o.other += answer != "ok" && !answer.starts_with("error lock_lost");
            o.lost_updates += writes - (balance() - read);
        }
    }

    void run(int trials, bool fenced, outcome& o) const {
        std::vector<std::jthread> all;
        for (int lane = 0; lane < lanes; ++lane)
            all.emplace_back([&, lane] {
                try {
                    run_lane(lane + 1, trials / lanes, fenced, o);
                } catch (const std::exception& e) {
                    std::fprintf(stderr, "%s\n", e.what());
                    ++o.other;
                }
            });
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pausing, fixture)

BOOST_AUTO_TEST_CASE(with_the_fence_no_update_is_lost) {
    outcome o;
    run(1000, true, o);
    BOOST_TEST_MESSAGE(o.trials << " trials: " << o.refused << " stale writes refused, " << o.lost_updates
                                << " updates lost");
    BOOST_TEST(o.trials == 1000);
    BOOST_TEST(o.refused == 1000);
    BOOST_TEST(o.lost_updates == 0);
    BOOST_TEST(o.other == 0);
}

BOOST_AUTO_TEST_CASE(control_without_it_they_are) {
    outcome o;
    run(200, false, o);
    BOOST_TEST_MESSAGE(o.trials << " trials: " << o.lost_updates << " updates lost");
    BOOST_TEST(o.trials == 200);
    BOOST_TEST(o.lost_updates == 200);
    BOOST_TEST(o.other == 0);
}

BOOST_AUTO_TEST_SUITE_END()
