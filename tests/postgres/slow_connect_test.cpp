// One deadline covers the connecting that a wait needs, too.
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <future>
#include <optional>
#include <utility>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>
#include <rowlock/schema.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_server.hpp>
#include <support/relay.hpp>
#include <support/slack.hpp>

using namespace std::chrono_literals;
using rowlock::test::eventually;
using rowlock::test::in_background;
using rowlock::test::postgres_server;
using rowlock::test::slack;
using rowlock::test::throws;
using steady = std::chrono::steady_clock;

namespace {

constexpr const char* schemes[] = {"postgresql+advisory:", "postgresql+lease:"};

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    rowlock::test::relay relay{server.socket()};

    fixture() { rowlock::open_schema("postgresql:" + server.conninfo(database)).migrate(); }
    // The time to connect is long enough not to be taken for the deadline.
    rowlock::provider open(const std::string& scheme) const {
        return rowlock::open(scheme + relay.conninfo() + "user=postgres dbname=" + database,
                             {.operation_timeout = 5s + 2 * slack});
    }
};

}  // namespace

BOOST_DATA_TEST_CASE_F(fixture, a_wait_that_cannot_connect_ends_in_time, boost::unit_test::data::make(schemes),
                       scheme) {
    auto others = rowlock::open(scheme + server.conninfo(database));
    const auto held = others.acquire("n");
    auto locks = open(scheme);
    const auto mine = locks.acquire("m");  // in a session that no wait may be sent into

    relay.keep_new_ones_waiting();
    const auto started = steady::now();
    BOOST_TEST(!locks.try_acquire("n", 200ms), "busy, and the wait was over");
    const auto took = steady::now() - started;
    BOOST_TEST((took >= 200ms));
    BOOST_TEST((took < 200ms + slack));

    const auto from = steady::now();
    BOOST_CHECK_THROW((void)locks.try_acquire("n", 1h), rowlock::connection_error);
    BOOST_TEST((steady::now() - from < 5s + 4 * slack), "no longer than one operation may take");
}

BOOST_DATA_TEST_CASE_F(fixture, who_stops_waiting_does_not_wait_for_the_connection,
                       boost::unit_test::data::make(schemes), scheme) {
    auto others = rowlock::open(scheme + server.conninfo(database));
    const auto held = others.acquire("n");
    std::optional<rowlock::provider> locks{open(scheme)};
    std::optional<rowlock::lock_handle> mine{locks->acquire("m")};

    relay.keep_new_ones_waiting();
    std::stop_source stop;
    std::promise<void> waiting;
    auto cancelled_after = in_background([&] {
        waiting.set_value();
        const bool cancelled = throws<rowlock::cancelled>([&] { (void)locks->try_acquire("n", 1h, stop.get_token()); });
        return std::pair{cancelled, steady::now()};
    });
    waiting.get_future().wait();
    BOOST_TEST(eventually([&] { return relay.held() >= 1; }));
    const auto stopped = steady::now();
    stop.request_stop();
    const auto [cancelled, ended] = cancelled_after.get();
    BOOST_TEST(cancelled);
    BOOST_TEST((ended - stopped < slack));

    // Nor does the end of the provider for long: a server that answers is not left half-way.
    mine.reset();
    const auto closing = steady::now();
    locks.reset();
    BOOST_TEST((steady::now() - closing < 500ms + 2 * slack));
}
