// Twenty processes that find an empty database at the same moment: one migrates it, the others wait and use it.
#include <boost/test/unit_test.hpp>

#include <rowlock/error.hpp>

#include <support/actor_process.hpp>
#include <support/sqlite_file.hpp>

using rowlock::test::actor_process;

namespace {

// How many steps each of `count` processes ran.
std::vector<std::string> migrate_at_once(const std::string& url, std::size_t count) {
    std::vector<actor_process> actors(count);
    for (auto& a : actors) a.expect_ok("pid");  // up and running
    for (auto& a : actors) a.tell("migrate " + url);
    std::vector<std::string> answers;
    for (auto& a : actors) answers.push_back(a.answer());
    return answers;
}

}  // namespace

BOOST_AUTO_TEST_CASE(one_of_twenty_migrates_and_all_can_go_on) {
    for (int round = 0; round < 3; ++round) {
        const rowlock::test::temp_dir directory;
        const auto url = "sqlite:" + (directory / "locks.db").string();
        const auto steps = rowlock::open_schema(url).all().size();
        std::size_t ran = 0;
        for (const auto& answer : migrate_at_once(url, 20)) {
            BOOST_TEST(answer.starts_with("ok "), answer);
            if (answer == "ok " + std::to_string(steps))
                ++ran;
            else
                BOOST_TEST(answer == "ok 0");
        }
        BOOST_TEST(ran == 1U);
        BOOST_CHECK_NO_THROW(rowlock::open_schema(url).check());
        BOOST_TEST(rowlock::open(url).try_acquire("n").has_value());
    }
}

BOOST_AUTO_TEST_CASE(twenty_find_nothing_to_do) {
    const rowlock::test::sqlite_file db;
    for (const auto& answer : migrate_at_once(db.url(), 20)) BOOST_TEST(answer == "ok 0");
}

// What the exclusion hangs on: the steps themselves do not bear being run twice.
BOOST_AUTO_TEST_CASE(control_a_step_run_twice_fails) {
    const rowlock::test::sqlite_file db;
    const auto schema = rowlock::open_schema(db.url());
    for (const auto& step : schema.all()) BOOST_CHECK_THROW(db.raw().exec(std::string{step.sql}), SQLite::Exception);
}
