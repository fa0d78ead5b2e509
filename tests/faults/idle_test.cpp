// What waiting costs: nearly nothing, however many wait.
#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <support/actor_process.hpp>
#include <support/sqlite_file.hpp>

using namespace std::chrono_literals;
using rowlock::test::actor_process;
using rowlock::test::eventually;
using steady = std::chrono::steady_clock;

namespace {

struct fixture {
    rowlock::test::sqlite_file db;
    // Renewed every 40 s, so that no renewal falls into the time that is watched.
    rowlock::provider locks = db.open({.ttl = 120s});
    rowlock::lock_handle held = locks.acquire("n");
    std::vector<actor_process> actors{5};

    void start(const std::string& what) {
        for (auto& a : actors) {
            a.open(db.url(), " ttl=120000");
            a.expect_ok(what + " 10 n");
        }
    }
    std::chrono::microseconds cpu() {
        std::chrono::microseconds all{};
        for (auto& a : actors) all += std::chrono::microseconds{rowlock::test::token_in(a.ask("cpu"))};
        return all;
    }
    std::string wal() const {
        std::ostringstream content;
        content << std::ifstream{db.beside("-wal"), std::ios::binary}.rdbuf();
        return content.str();
    }
    static void watch(steady::duration time) {
        const auto end = steady::now() + time;
        BOOST_TEST(
            eventually([&] { return steady::now() >= end; }, std::chrono::ceil<std::chrono::milliseconds>(time + 10s)));
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(idle, fixture)

BOOST_AUTO_TEST_CASE(fifty_waiters_use_hardly_any_time_and_write_nothing) {
    start("waiters");
    BOOST_REQUIRE(rowlock::test::waiting(locks, 50));
    watch(1s);  // until the last of them has looked and lies down
    const auto before = cpu();
    const auto written = wal();
    watch(10s);
    const auto used = cpu() - before;
    BOOST_TEST((used < 100ms * rowlock::test::slowness), used.count() << " us");
    BOOST_TEST((wal() == written));
    BOOST_TEST(locks.status().at(0).waiters.size() == 50U, "and they do wait");
}

BOOST_AUTO_TEST_CASE(control_polling_is_noticed) {
    start("pollers");
    const auto before = cpu();
    watch(2s);
    BOOST_TEST((cpu() - before > 100ms), "in a fifth of the time");
}

BOOST_AUTO_TEST_SUITE_END()
