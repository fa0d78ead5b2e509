// Leases, and a server that crashes or stays away. It does not wait for the disk where nobody asks it to, which is what
// loses tokens.
#include <boost/test/unit_test.hpp>

#include <future>

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
using rowlock::test::recorder;
using rowlock::test::slack;
using rowlock::test::throws;

namespace {

struct fixture {
    // What is lost in an immediate stop is what had not been handed to the operating system, so this needs no fsync.
    postgres_server server{{"synchronous_commit = off", "wal_writer_delay = 10s"}};
    std::string conninfo = server.conninfo("postgres");

    fixture() { rowlock::open_schema("postgresql:" + conninfo).migrate(); }
    rowlock::provider open(rowlock::options opt = {}) const {
        return rowlock::open("postgresql+lease:" + conninfo, std::move(opt));
    }
    std::string sql(const std::string& text) const { return postgres_connection{conninfo}.sql(text); }
};

std::uint64_t value(const rowlock::lock_handle& h) { return h.token().value().value(); }

}  // namespace

BOOST_FIXTURE_TEST_SUITE(crash, fixture)

BOOST_AUTO_TEST_CASE(over_ten_crashes_no_token_comes_again_and_no_lease_is_lost) {
    constexpr int crashes = 10;
    (void)sql("CREATE TABLE counter (token int); INSERT INTO counter VALUES (0); CHECKPOINT");
    const auto heard = std::make_shared<recorder>();
    auto keeps = open({.ttl = 6s * rowlock::test::slowness, .events = heard});
    // A release is not waited for either; one that a crash takes back ends with the lease.
    auto locks = open({.ttl = 300ms * rowlock::test::slowness}), others = open();
    auto kept = keeps.acquire("kept");
    rowlock::shared_mutex s{locks, "s"};
    std::uint64_t last = 0, last_shared = 0;
    int counter = 0, control_lost = 0;
    const auto cycle = [&] {
        const auto held = locks.try_acquire("n", 5s).value();
        BOOST_TEST(value(held) > last);
        last = value(held);
        const auto shared = s.try_acquire_shared_for(5s).value();
        BOOST_TEST(value(shared) > last_shared);
        last_shared = value(shared);
    };
    for (int crash = 0; crash < crashes; ++crash) {
        BOOST_TEST_CONTEXT("crash " << crash) {
            // In doubt, if it was asking when the server went, as it does behind a holder whose session is gone.
            auto waits = in_background([&] { return throws<rowlock::error>([&] { (void)others.acquire("kept"); }); });
            BOOST_TEST(eventually([&] {
                const auto all = keeps.status("kept");
                return all.size() == 1 && all[0].waiters.size() == 1;
            }));
            {
                postgres_connection control{conninfo};
                for (int i = 0; i < 5; ++i) {
                    cycle();
                    counter = std::stoi(control.sql("UPDATE counter SET token = token + 1 RETURNING token"));
                }
            }
            server.restart("immediate");
            BOOST_TEST(waits.get(), "who waits is told");
            const int found = std::stoi(sql("SELECT token FROM counter"));
            control_lost += found < counter;
            counter = found;
            BOOST_TEST(eventually([&] { return !throws<rowlock::error>(cycle); }));
            BOOST_CHECK_NO_THROW(kept.verify());
            BOOST_TEST(!others.try_acquire("kept"));
        }
    }
    BOOST_TEST(heard->heard("renewed", heard->count("renewed") + 1), "on a new connection");
    BOOST_TEST(heard->count("lost") == 0);
    BOOST_TEST_MESSAGE("the control lost tokens in " << control_lost << " of " << crashes << " crashes");
    BOOST_TEST(control_lost > 0, "the control: an update that nobody waits for");
}

BOOST_AUTO_TEST_CASE(a_server_that_is_back_in_time_takes_no_lease_away) {
    const auto heard = std::make_shared<recorder>();
    auto locks = open({.ttl = 6s * rowlock::test::slowness, .events = heard});
    auto held = locks.acquire("n");
    const auto token = value(held);
    server.stop("immediate");
    BOOST_TEST(heard->heard("renewal_failed"));
    server.restart();
    BOOST_TEST(heard->heard("renewed", heard->count("renewed") + 1));
    BOOST_TEST(!held.lost().stop_requested());
    BOOST_CHECK_NO_THROW(held.verify());
    BOOST_TEST(sql("SELECT token FROM rowlock.lock WHERE name = 'n' AND expires_at > clock_timestamp()") ==
               std::to_string(token));
    held.release();
    BOOST_TEST(open().try_acquire("n").has_value());
    BOOST_TEST(heard->count("lost") == 0);
}

BOOST_AUTO_TEST_CASE(of_one_that_stays_away_the_holder_hears_before_the_lease_ends) {
    constexpr auto ttl = 2s * rowlock::test::slowness;
    auto locks = open({.ttl = ttl, .operation_timeout = 200ms});
    rowlock::shared_mutex s{locks, "s"};
    auto held = locks.acquire("n");
    auto shared = s.acquire_shared();
    std::promise<double> told;
    const std::stop_callback on_loss{held.lost(), [&] {
                                         const std::chrono::duration<double> now =
                                             std::chrono::system_clock::now().time_since_epoch();
                                         told.set_value(now.count());
                                     }};
    auto at = told.get_future();
    server.stop("immediate");
    BOOST_REQUIRE((at.wait_for(ttl + slack) == std::future_status::ready));
    BOOST_TEST((held.lost_reason() == rowlock::loss_reason::expired));
    BOOST_TEST(eventually([&] { return shared.lost().stop_requested(); }));
    server.restart();
    // The server's clock is this machine's.
    const auto end = std::stod(sql("SELECT extract(epoch FROM expires_at) FROM rowlock.lock WHERE name = 'n'"));
    const auto heard_at = at.get();
    BOOST_TEST_MESSAGE("heard " << 1000 * (end - heard_at) << " ms before the end");
    BOOST_TEST(heard_at < end);
    BOOST_CHECK_THROW(held.verify(), rowlock::lock_lost);
    BOOST_TEST(eventually([&] {
        try {
            return open().try_acquire("n", ttl + slack).has_value();
        } catch (const rowlock::connection_error&) {
            return false;
        }
    }));
}

BOOST_AUTO_TEST_SUITE_END()
