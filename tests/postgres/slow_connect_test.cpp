// One deadline covers the connecting that a wait needs, too, give or take a second.
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>
#include <rowlock/schema.hpp>

#include <support/postgres_server.hpp>
#include <support/relay.hpp>
#include <support/slack.hpp>

using namespace std::chrono_literals;
using rowlock::test::postgres_server;
using rowlock::test::slack;
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
    BOOST_TEST((took < 1s + slack));

    const auto from = steady::now();
    BOOST_CHECK_THROW((void)locks.try_acquire("n", 1h), rowlock::connection_error);
    BOOST_TEST((steady::now() - from < 5s + 4 * slack), "no longer than one operation may take");
}
