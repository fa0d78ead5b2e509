// A network that is cut without a word, between two network namespaces: who hears of it when. Needs root.
#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <fstream>
#include <future>
#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_server.hpp>
#include <support/slack.hpp>

using namespace std::chrono_literals;
using rowlock::test::eventually;
using rowlock::test::postgres_server;
using rowlock::test::slack;
using steady = std::chrono::steady_clock;

namespace {

// Run with the shell; whether it went well.
bool sh(const std::string& command) { return std::system(("{ " + command + "; } >/dev/null 2>&1").c_str()) == 0; }

// Three bytes of an address that other runs of this test do not use at the same time.
std::string network() {
    const auto id = static_cast<unsigned>(getpid());
    return "10." + std::to_string(200 + id % 50) + "." + std::to_string(id / 50 % 250) + ".";
}

// A network namespace, and a cable between it and this one; here is .1, there is .2.
class other_host {
public:
    other_host() { made_ = sh("ip netns add " + name_) && sh(cable()); }
    ~other_host() { (void)sh("ip netns del " + name_ + "; ip link del " + name_ + "a"); }
    other_host(const other_host&) = delete;
    other_host& operator=(const other_host&) = delete;

    [[nodiscard]] bool made() const { return made_; }
    // The calling thread, and those that it starts, are there from now on.
    void enter() const {
        const int fd = ::open(("/run/netns/" + name_).c_str(), O_RDONLY | O_CLOEXEC);
        const bool in = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
        close(fd);
        if (!in) throw std::runtime_error{"cannot enter the network namespace"};
    }
    // From now on nothing comes through, in either direction, and nobody is told.
    void cut() const {
        if (!sh("ip link set " + name_ + "a down")) throw std::runtime_error{"cannot cut the cable"};
    }
    void mend() const { (void)sh("ip link set " + name_ + "a up"); }

private:
    [[nodiscard]] std::string cable() const {
        const auto there = "ip -n " + name_ + " ";
        return "ip link add " + name_ + "a type veth peer name " + name_ + "b netns " + name_ + " && ip addr add " +
               network() + "1/30 dev " + name_ + "a && ip link set " + name_ + "a up && " + there + "addr add " +
               network() + "2/30 dev " + name_ + "b && " + there + "link set " + name_ + "b up";
    }

    const std::string name_ = "rl" + std::to_string(getpid());
    bool made_ = false;
};

struct fixture {
    other_host there;
    postgres_server server{{"listen_addresses = '*'"}};
    std::string database = server.new_database();
    std::string remote = server.tcp_conninfo(database, "host=" + network() + "1");
    std::string local = "postgresql+advisory:" + server.conninfo(database);

    fixture() {
        std::ofstream{server.directory() + "/data/pg_hba.conf", std::ios::app}
            << "host all all " + network() + "0/30 trust\n";
        (void)server.sql("postgres", "SELECT pg_reload_conf()");
        rowlock::open_schema("postgresql+lease:" + server.conninfo(database)).migrate();
    }
};

// When the holder is told, as it is told; the epoch: never.
steady::time_point heard_at(const rowlock::lock_handle& held) {
    std::promise<steady::time_point> told;
    auto at = told.get_future();
    const std::stop_callback on_loss{held.lost(), [&] { told.set_value(steady::now()); }};
    return at.wait_for(30s) == std::future_status::ready ? at.get() : steady::time_point{};
}

boost::test_tools::assertion_result can_make_namespaces(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result yes{other_host{}.made()};
    yes.message() << "network namespaces and cables between them cannot be made here; that needs root and ip(8)";
    return yes;
}

}  // namespace

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(can_make_namespaces))
BOOST_FIXTURE_TEST_SUITE(network, fixture)

BOOST_AUTO_TEST_CASE(the_holder_of_an_advisory_lock_hears_of_a_cut_before_the_next_one_has_it) {
    auto here = rowlock::open(local);
    std::promise<void> holds;
    auto lost = rowlock::test::in_background([&] {
        there.enter();
        auto locks = rowlock::open("postgresql+advisory:" + remote);
        auto held = locks.acquire("n");
        holds.set_value();
        const auto at = heard_at(held);
        return std::pair{held.lost_reason() == rowlock::loss_reason::connection, at};
    });
    holds.get_future().wait();
    auto next = rowlock::test::in_background([&] {
        const auto held = here.acquire("n");
        return steady::now();
    });
    BOOST_TEST(eventually([&] { return here.status("n").at(0).waiters.size() == 1; }));
    const auto cut = steady::now();
    there.cut();
    const auto [heard, at] = lost.get();
    const auto taken = next.get();
    BOOST_TEST(heard);
    BOOST_TEST_MESSAGE("heard after " << (at - cut) / 1ms << " ms, taken after " << (taken - cut) / 1ms << " ms");
    // As docs/guarantees.md has it; the kernel's timers are up to a tick of keepalives late.
    BOOST_TEST((at - cut < 5s + 500ms + slack));
    BOOST_TEST((taken - cut < 11s + 1s + slack));
    BOOST_TEST((at < taken));
}

BOOST_AUTO_TEST_CASE(a_waiter_that_vanished_leaves_the_queue) {
    auto here = rowlock::open(local);
    auto held = here.acquire("n");
    auto waiter = rowlock::test::in_background([&] {
        there.enter();
        auto locks = rowlock::open("postgresql+advisory:" + remote);
        return rowlock::test::throws<rowlock::connection_error>([&] { (void)locks.acquire("n"); });
    });
    BOOST_TEST(eventually([&] { return here.status("n").at(0).waiters.size() == 1; }));
    const auto cut = steady::now();
    there.cut();
    BOOST_TEST(eventually([&] { return here.status("n").at(0).waiters.empty(); }, 30s));
    BOOST_TEST_MESSAGE("left after " << (steady::now() - cut) / 1ms << " ms");
    BOOST_TEST((steady::now() - cut < 11s + 1s + slack));
    BOOST_TEST(waiter.get(), "and is told");
}

BOOST_AUTO_TEST_CASE(the_holder_of_a_lease_hears_of_a_cut_before_it_ends) {
    auto here = rowlock::open("postgresql+lease:" + server.conninfo(database));
    std::promise<void> holds;
    auto lost = rowlock::test::in_background([&] {
        there.enter();
        auto locks = rowlock::open("postgresql+lease:" + remote, {.ttl = 4s, .operation_timeout = 1s});
        auto held = locks.acquire("n");
        holds.set_value();
        const auto at = heard_at(held);
        return std::pair{held.lost_reason() == rowlock::loss_reason::expired, at};
    });
    holds.get_future().wait();
    auto next = rowlock::test::in_background([&] {
        const auto held = here.acquire("n");
        return steady::now();
    });
    BOOST_TEST(eventually([&] { return here.status("n").at(0).waiters.size() == 1; }));
    const auto cut = steady::now();
    there.cut();
    const auto [heard, at] = lost.get();
    const auto taken = next.get();
    BOOST_TEST(heard);
    BOOST_TEST_MESSAGE("heard after " << (at - cut) / 1ms << " ms, taken after " << (taken - cut) / 1ms << " ms");
    BOOST_TEST((taken - cut < 4s + slack));
    BOOST_TEST((at < taken));
}

BOOST_AUTO_TEST_CASE(control_a_short_cut_takes_nothing_away) {
    std::promise<void> holds;
    std::promise<void> mended;
    auto kept = rowlock::test::in_background([&, until = mended.get_future()] {
        there.enter();
        auto locks = rowlock::open("postgresql+advisory:" + remote);
        auto held = locks.acquire("n");
        holds.set_value();
        until.wait();
        held.verify();
        return !held.lost().stop_requested();
    });
    holds.get_future().wait();
    there.cut();
    there.mend();
    mended.set_value();
    BOOST_TEST(kept.get());
}

BOOST_AUTO_TEST_SUITE_END()
