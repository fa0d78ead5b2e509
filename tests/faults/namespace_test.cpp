// Processes in PID and mount namespaces of their own, as in containers that share the database's directory.
#include <boost/test/unit_test.hpp>

#include <cstdlib>

#include <support/actor_process.hpp>
#include <support/sqlite_file.hpp>

using namespace std::chrono_literals;
using rowlock::test::actor_process;
using rowlock::test::slack;
using steady = std::chrono::steady_clock;

namespace {

const std::vector<std::string> own_pids{"unshare", "--pid", "--fork", "--kill-child", "--mount-proc"};

boost::test_tools::assertion_result may_unshare(boost::unit_test::test_unit_id) {
    static const bool may = std::system("unshare --pid --fork --kill-child --mount-proc true 2>/dev/null") == 0;
    boost::test_tools::assertion_result yes{may};
    yes.message() << "unshare(1) is not permitted here";
    return yes;
}

struct fixture {
    rowlock::test::sqlite_file db;
    rowlock::provider locks = db.open();

    // In a container, where the database's directory is mounted elsewhere.
    actor_process contained() const {
        auto command = own_pids;
        for (const auto& word : {std::string{"--mount"}, std::string{"sh"}, std::string{"-c"},
                                 "mount --bind " + db.directory().path().string() + " /mnt && exec \"$0\""})
            command.push_back(word);
        return actor_process{command};
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(containers, fixture, *boost::unit_test::precondition(may_unshare))

BOOST_AUTO_TEST_CASE(a_killed_holder_in_another_pid_namespace_is_replaced_at_once) {
    actor_process holder{own_pids};
    holder.open(db.url());
    holder.expect_ok("acquire h n exclusive -");
    BOOST_TEST(!locks.try_acquire("n", 20ms));
    const auto killed = steady::now();
    holder.kill();
    BOOST_TEST(locks.try_acquire("n", 10s).has_value());
    BOOST_TEST((steady::now() - killed < slack));
}

// A pid would say nothing: that of the dead holder is one that lives here.
BOOST_AUTO_TEST_CASE(control_its_pid_is_one_that_lives_here) {
    actor_process holder{own_pids};
    BOOST_TEST(holder.ask("pid") == "ok 1");
}

BOOST_AUTO_TEST_CASE(a_waiter_in_another_pid_namespace_sees_the_death_of_a_holder_here) {
    actor_process holder, waiter{own_pids};
    for (auto* a : {&holder, &waiter}) a->open(db.url());
    holder.expect_ok("acquire h n exclusive -");
    waiter.tell("acquire h n exclusive -");
    BOOST_TEST(rowlock::test::waiting(locks, 1));
    const auto killed = steady::now();
    holder.kill();
    BOOST_TEST(waiter.answer().starts_with("ok"));
    BOOST_TEST((steady::now() - killed < slack));
}

BOOST_AUTO_TEST_CASE(the_same_directory_under_another_path) {
    auto inside = contained();
    inside.expect_ok("open sqlite:/mnt/locks.db");
    auto held = std::make_optional(locks.acquire("n"));
    BOOST_TEST(inside.ask("acquire h n exclusive 0") == "busy");
    inside.tell("acquire h n exclusive -");
    BOOST_TEST(rowlock::test::waiting(locks, 1));
    const auto released = steady::now();
    held.reset();
    BOOST_TEST(inside.answer().starts_with("ok"));
    BOOST_TEST((steady::now() - released < slack), "woken, not found out at the next look");
    BOOST_TEST(!locks.try_acquire("n"));
    inside.kill();
    BOOST_TEST(locks.try_acquire("n", slack).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
