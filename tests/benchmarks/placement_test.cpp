// Where rowlock-bench puts clients and servers: real processes and threads, and what the kernel says of them.

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include <boost/test/unit_test.hpp>

#include <contenders/back_ends.hpp>
#include <running/placement.hpp>

namespace bench {

// All that a placer asks of a back end.
const back_end& back_end_of(std::string_view url) {
    static const back_end with{.scheme = "server:", .baseline_name = "", .baseline = nullptr};
    static const back_end without{.scheme = "file:", .baseline_name = "", .baseline = nullptr, .server = false};
    return url.starts_with("server:") ? with : without;
}

}  // namespace bench

namespace {

using namespace bench;
using cpus = std::vector<int>;

cpus allowed(pid_t thread) {
    cpu_set_t set;
    CPU_ZERO(&set);
    BOOST_REQUIRE(sched_getaffinity(thread, sizeof set, &set) == 0);
    cpus all;
    for (int i = 0; i < CPU_SETSIZE; ++i)
        if (CPU_ISSET(i, &set)) all.push_back(i);
    return all;
}

// A server, and the process that it has made for a client.
class server {
public:
    server() {
        std::array<int, 2> ready{};
        BOOST_REQUIRE(pipe(ready.data()) == 0);
        process = fork();
        if (process == 0) {
            child = fork();
            if (child > 0 && write(ready[1], &child, sizeof child) != sizeof child) _exit(1);
            for (;;) pause();
        }
        BOOST_REQUIRE(read(ready[0], &child, sizeof child) == sizeof child);
        for (const int fd : ready) close(fd);
    }
    ~server() {
        kill(child, SIGKILL);
        kill(process, SIGKILL);
        waitpid(process, nullptr, 0);
    }
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    pid_t process = 0, child = 0;
};

const auto all_cpus = allowed(0);

boost::test_tools::assertion_result there_are_two(boost::unit_test::test_unit_id) { return all_cpus.size() >= 2; }

// A thread of this process that is there before it is placed.
class bystander {
public:
    bystander() : id{started_.get_future().get()} {}
    ~bystander() { done_.set_value(); }
    bystander(const bystander&) = delete;
    bystander& operator=(const bystander&) = delete;

private:
    std::promise<pid_t> started_;
    std::promise<void> done_;
    std::jthread thread_{[this] {
        started_.set_value(gettid());
        done_.get_future().wait();
    }};

public:
    const pid_t id;
};

}  // namespace

BOOST_AUTO_TEST_CASE(on_two_cpus_are_clients_on_one_and_servers_with_all_their_processes_on_the_other,
                     *boost::unit_test::precondition(there_are_two)) {
    const server ours, of_somebody_else;
    const bystander other;
    {
        placer p{placements_wanted::both, {{"server:a", ours.process}}};
        p.place(placement::two_cpus, "server:a");
        const auto clients = allowed(0), servers = allowed(ours.process);
        BOOST_TEST(clients.size() == 1);
        BOOST_TEST(servers.size() == 1);
        BOOST_TEST((clients != servers));
        BOOST_TEST((allowed(ours.child) == servers));
        BOOST_TEST((allowed(other.id) == clients));
        BOOST_TEST((allowed(of_somebody_else.process) == all_cpus));

        p.place(placement::one_cpu, "server:a");
        for (const auto thread : {getpid(), other.id, ours.process, ours.child})
            BOOST_TEST((allowed(thread) == clients));

        p.place(placement::two_cpus, "file:");
        BOOST_TEST(allowed(0).size() == 2);
    }
    for (const auto thread : {getpid(), other.id, ours.process, ours.child}) BOOST_TEST((allowed(thread) == all_cpus));
}

BOOST_AUTO_TEST_CASE(without_a_server_clients_of_each_lock_are_on_both_cpus,
                     *boost::unit_test::precondition(there_are_two)) {
    placer p{placements_wanted::both, {}};
    p.place(placement::two_cpus, "file:");
    for (const std::size_t locks : {1U, 2U, 8U}) {
        cpus all, first;
        for (std::size_t client = 0; client < 8; ++client) all.push_back(p.cpu_of(client, locks).value());
        BOOST_TEST(std::count(all.begin(), all.end(), all.front()) == 4, locks);
        for (std::size_t client = 0; client < 8; client += locks) first.push_back(all[client]);
        if (locks < 8) BOOST_TEST(std::count(first.begin(), first.end(), all.front()) * 2 == first.size(), locks);
    }
    p.place(placement::one_cpu, "file:");
    BOOST_TEST(!p.cpu_of(0, 1));
}

BOOST_AUTO_TEST_CASE(a_back_end_is_measured_where_it_can_be_placed, *boost::unit_test::precondition(there_are_two)) {
    using list = std::vector<placement>;
    const placer p{placements_wanted::both, {{"server:a", getpid()}}};
    BOOST_TEST((p.placements("server:a", false) == list{placement::one_cpu, placement::two_cpus}));
    BOOST_TEST((p.placements("server:elsewhere", false) == list{placement::clients}));
    BOOST_TEST((p.placements("file:", false) == list{placement::one_cpu}));
    BOOST_TEST((p.placements("file:", true) == list{placement::two_cpus}));
    const placer any{placements_wanted::any, {}};
    BOOST_TEST((any.placements("server:a", true) == list{placement::any_cpu}));
}

BOOST_AUTO_TEST_CASE(a_server_that_was_named_is_placed_like_one_that_was_started_and_is_afterwards_where_it_was,
                     *boost::unit_test::precondition(there_are_two)) {
    const server named;
    const auto before = cpus{all_cpus.back()};
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(before.front(), &set);
    for (const auto process : {named.process, named.child})
        BOOST_REQUIRE(sched_setaffinity(process, sizeof set, &set) == 0);
    {
        placer p{placements_wanted::both, {}, {{"server:b", named.process}}};
        BOOST_TEST((p.placements("server:b", false) == std::vector{placement::one_cpu, placement::two_cpus}));
        BOOST_TEST(!p.started_here("server:b"));  // its settings are its owner's
        p.place(placement::one_cpu, "server:b");
        for (const auto process : {named.process, named.child})
            BOOST_TEST(allowed(process) == cpus{all_cpus.front()}, boost::test_tools::per_element());
        p.place(placement::any_cpu, "server:b");
        BOOST_TEST(allowed(named.child) == before, boost::test_tools::per_element());
        p.place(placement::one_cpu, "server:b");
    }
    for (const auto process : {named.process, named.child})
        BOOST_TEST(allowed(process) == before, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(where_there_is_one_cpu_everything_is_measured_on_it) {
    const auto before = allowed(0);
    stay_on(before.front());
    {
        const placer p{placements_wanted::both, {{"server:a", getpid()}}};
        BOOST_TEST((p.placements("server:a", true) == std::vector{placement::one_cpu}));
        BOOST_TEST((p.placements("file:", true) == std::vector{placement::one_cpu}));
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int cpu : before) CPU_SET(cpu, &set);
    BOOST_TEST(sched_setaffinity(0, sizeof set, &set) == 0);
}
