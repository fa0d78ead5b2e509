// When calls of ODBC are canceled, and when not, through psqlODBC.
#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include <poll.h>
#include <unistd.h>

#include <odbc/call_state.hpp>
#include <odbc/canceler.hpp>
#include <odbc/connection.hpp>

#include <support/eventually.hpp>
#include <support/postgres_server.hpp>
#include <support/slack.hpp>

namespace rowlock::odbc {
namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

struct server {
    server() { c.allocate(s); }

    // What psqlODBC does when it is told to cancel a statement that does nothing is not asked for here.
    SQLRETURN sleep_in_server(canceler::watch& w, const char* seconds) {
        auto text = "SELECT pg_sleep(" + std::string{seconds} + ")";
        return w.during([&] { return SQLExecDirect(s.get(), reinterpret_cast<SQLCHAR*>(text.data()), SQL_NTS); });
    }

    test::postgres_server& it = test::postgres_server::shared();
    const environment e{"test"};
    connection c{e, it.odbc_connection_string(it.new_database()), "the stand-in", "test", deadline::after(30s)};
    statement_handle s;
    canceler by;
};

// Does not sleep, and makes no call that could.
SQLRETURN stay_awake(std::chrono::milliseconds t) {
    const auto until = steady::now() + t;
    while (steady::now() < until) std::atomic_signal_fence(std::memory_order_seq_cst);
    return SQL_SUCCESS;
}

BOOST_AUTO_TEST_CASE(a_thread_that_polls_sleeps_and_one_that_counts_does_not) {
    std::array<int, 2> ends{};
    BOOST_REQUIRE(pipe(ends.data()) == 0);
    std::atomic<pid_t> id{0};
    std::atomic<bool> woken{false}, enough{false};
    std::jthread other{[&] {
        id = gettid();
        pollfd p{.fd = ends[0], .events = POLLIN, .revents = 0};
        while (poll(&p, 1, -1) != 1) continue;
        woken = true;
        while (!enough) std::atomic_signal_fence(std::memory_order_seq_cst);
    }};
    BOOST_REQUIRE(test::eventually([&] { return id != 0; }));
    const call_state state{id};
    BOOST_TEST(test::eventually([&] { return state.asleep(); }));
    BOOST_TEST(write(ends[1], "x", 1) == 1);
    BOOST_TEST(test::eventually([&] { return woken.load(); }));
    for (int i = 0; i < 1000; ++i) BOOST_REQUIRE(!state.asleep());
    enough = true;
    other.join();
    for (const int end : ends) close(end);
}

BOOST_FIXTURE_TEST_CASE(a_call_that_waits_is_canceled_at_its_deadline, server) {
    canceler::watch w{by, s.get(), deadline::after(50ms), {}};
    const auto before = steady::now();
    BOOST_TEST(!SQL_SUCCEEDED(sleep_in_server(w, "60")));
    BOOST_TEST((steady::now() - before >= 50ms));
    BOOST_TEST((steady::now() - before < test::slack));
    BOOST_TEST(w.asked());
}

BOOST_FIXTURE_TEST_CASE(nothing_is_canceled_between_calls, server) {
    std::stop_source stop;
    canceler::watch w{by, s.get(), deadline::after(20ms), stop.get_token()};
    BOOST_TEST(SQL_SUCCEEDED(sleep_in_server(w, "0")));
    stop.request_stop();
    std::this_thread::sleep_for(200ms);
    BOOST_TEST(!w.asked(), "20 ms and a stop are over, and no call is under way");
    SQLFreeStmt(s.get(), SQL_CLOSE);
    BOOST_TEST(!SQL_SUCCEEDED(sleep_in_server(w, "60")), "the next call is");
    BOOST_TEST(w.asked());
}

BOOST_FIXTURE_TEST_CASE(a_call_that_is_awake_is_left_to_end, server) {
    {
        canceler::watch w{by, s.get(), deadline::passed(), {}};
        BOOST_TEST(w.during([] { return stay_awake(100ms); }) == SQL_SUCCESS);
        BOOST_TEST(!w.asked());
    }
    canceler::watch w{by, s.get(), deadline::passed(), {}};
    BOOST_TEST(w.during([] { return stay_awake(2s); }) == SQL_SUCCESS);
    BOOST_TEST(w.asked(), "its driver does not sleep at all");
}

}  // namespace
}  // namespace rowlock::odbc
