// What a forked child does to its parent's connections to PostgreSQL, which it has copies of: nothing.
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <csignal>
#include <thread>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>
#include <rowlock/schema.hpp>

#include <support/eventually.hpp>
#include <support/in_child.hpp>
#include <support/postgres_connection.hpp>
#include <support/postgres_server.hpp>
#include <support/recorder.hpp>
#include <support/slack.hpp>

using namespace std::chrono_literals;
using rowlock::test::eventually;
using rowlock::test::in_child;
using rowlock::test::is_refused;
using rowlock::test::postgres_connection;
using rowlock::test::postgres_server;

namespace {

constexpr auto ttl = 600ms * rowlock::test::slowness;
constexpr const char* schemes[] = {"postgresql+advisory:", "postgresql+lease:"};

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    postgres_connection look{server.conninfo(database)};
    std::shared_ptr<rowlock::test::recorder> heard = std::make_shared<rowlock::test::recorder>();

    fixture() { rowlock::open_schema("postgresql:" + server.conninfo(database)).migrate(); }

    rowlock::provider open(const std::string& scheme, const std::string& owner) const {
        return rowlock::open(scheme + server.conninfo(database), {.ttl = ttl, .owner = owner, .events = heard});
    }
    // Without an observer: its mutex may have been locked by a thread that does not exist here.
    rowlock::provider open_in_child(const std::string& scheme) const {
        return rowlock::open(scheme + server.conninfo(database), {.ttl = ttl});
    }
    std::string sessions_of(const std::string& owner) {
        return look.sql(
            "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE application_name = '" + owner +
            "'");
    }
    bool waiting(int count) {
        return eventually([&] {
            return look.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") ==
                   std::to_string(count);
        });
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(forking, fixture)

BOOST_AUTO_TEST_CASE(a_child_releases_nothing_and_ends_no_session) {
    for (const auto* scheme : schemes) {
        auto locks = std::make_optional(open(scheme, "parent"));
        auto others = open(scheme, "other");
        auto held = std::make_optional(locks->acquire("n"));
        const auto sessions = sessions_of("parent");
        for (int i = 0; i < 3; ++i)
            BOOST_TEST(in_child([&] {
                           int wrong = 0;
                           wrong |= !is_refused([&] { (void)locks->try_acquire("other"); }) << 0;
                           wrong |= !is_refused([&] { held->verify(); }) << 1;
                           wrong |= !is_refused([&] { (void)locks->status(); }) << 2;
                           held->release();
                           held.reset();
                           locks.reset();
                           return wrong;
                       }) == 0,
                       "bits of what went wrong");
        BOOST_TEST(sessions_of("parent") == sessions);
        BOOST_CHECK_NO_THROW(held->verify());
        BOOST_TEST(!others.try_acquire("n"));
        held->release();
        BOOST_TEST(others.try_acquire("n").has_value());
    }
    BOOST_TEST(heard->count("lost") == 0);
}

BOOST_AUTO_TEST_CASE(control_a_child_that_closes_a_copy_ends_the_session) {
    auto mine = std::make_optional<postgres_connection>(server.conninfo(database));
    BOOST_TEST(in_child([&] {
                   mine.reset();
                   return 0;
               }) == 0);
    BOOST_CHECK_THROW((void)mine->sql("SELECT 1"), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(a_schema_that_a_child_lets_go_of_goes_on) {
    auto schema = std::make_optional(rowlock::open_schema("postgresql:" + server.conninfo(database)));
    BOOST_TEST(in_child([&] {
                   schema.reset();
                   return 0;
               }) == 0);
    BOOST_CHECK_NO_THROW(schema->check());
}

BOOST_AUTO_TEST_CASE(renewals_and_waits_of_the_parent_go_on) {
    auto locks = open(schemes[1], "parent"), others = open(schemes[1], "other");
    auto held = std::make_optional(locks.acquire("n"));
    std::optional<rowlock::lock_handle> got;
    std::jthread waiter{[&] { got = others.acquire("n"); }};
    BOOST_TEST(waiting(1));
    for (int i = 0; i < 4; ++i) {
        const int before = heard->count("renewed");
        BOOST_TEST(in_child([&] {
                       auto own = open_in_child(schemes[1]);
                       return own.try_acquire("n") ? 1 : 0;
                   }) == 0);
        BOOST_TEST(heard->heard("renewed", before + 1));
    }
    BOOST_TEST(waiting(1));
    BOOST_CHECK_NO_THROW(held->verify());
    held.reset();
    waiter.join();
    BOOST_TEST(got.has_value());
    BOOST_TEST(heard->count("lost") == 0);
}

BOOST_AUTO_TEST_CASE(a_child_that_opens_anew_is_another_process) {
    for (const auto* scheme : schemes) {
        auto locks = open(scheme, "parent");
        const auto held = locks.acquire("n");
        BOOST_TEST(in_child([&] {
                       auto own = open_in_child(scheme);
                       if (own.try_acquire("n")) return 1;
                       auto* leaked = new rowlock::lock_handle{own.acquire("other")};
                       leaked->verify();
                       return 0;
                   }) == 0);
        BOOST_TEST(locks.try_acquire("other", ttl + rowlock::test::slack).has_value(), "it died with its child");
        BOOST_TEST(!locks.try_acquire("n"));
    }
}

// The server sees the end of a connection when its last copy is closed.
BOOST_AUTO_TEST_CASE(a_lock_of_a_session_ends_with_the_last_copy_of_its_connection) {
    auto others = open(schemes[0], "other");
    for (const bool exec : {false, true}) {
        int pipe[2];
        BOOST_REQUIRE(::pipe(pipe) == 0);
        const auto dead = in_child([&] {
            auto own = open_in_child(schemes[0]);
            const auto held = own.acquire("n");
            const auto survivor = fork();
            if (survivor == 0) {
                if (exec) execlp("sleep", "sleep", "60", nullptr);
                pause();
                _exit(1);
            }
            return write(pipe[1], &survivor, sizeof survivor) == sizeof survivor ? raise(SIGKILL) : 1;
        });
        BOOST_TEST(dead == -1);
        pid_t survivor = 0;
        BOOST_REQUIRE(read(pipe[0], &survivor, sizeof survivor) == sizeof survivor);
        BOOST_TEST(others.try_acquire("n", rowlock::test::slack).has_value() == exec, "exec closes its copies");
        kill(survivor, SIGKILL);
        BOOST_TEST(others.try_acquire("n", rowlock::test::slack).has_value());
        for (const int end : pipe) close(end);
    }
}

BOOST_AUTO_TEST_CASE(forking_in_the_midst_of_traffic_harms_nothing) {
    for (const auto* scheme : schemes) {
        auto locks = open(scheme, "parent");
        std::atomic<bool> over{false};
        std::atomic<int> inside{0}, overlaps{0}, cycles{0}, failures{0};
        {
            std::vector<std::jthread> traffic;
            for (int t = 0; t < 3; ++t)
                traffic.emplace_back([&] {
                    try {
                        while (!over) {
                            const auto mine = locks.acquire("busy");
                            if (inside.fetch_add(1) != 0) ++overlaps;
                            ++cycles;
                            inside.fetch_sub(1);
                        }
                    } catch (const std::exception&) {
                        ++failures;
                    }
                });
            for (int i = 0; i < 20; ++i)
                BOOST_TEST(in_child([&] {
                               auto own = open_in_child(scheme);
                               auto mine = own.try_acquire("child", 5s);
                               if (!mine) return 1;
                               mine->release();
                               return 0;
                           }) == 0);
            const int before = cycles;
            BOOST_TEST(eventually([&] { return cycles > before + 10; }), "the parent's traffic goes on");
            over = true;
        }
        BOOST_TEST(overlaps == 0);
        BOOST_TEST(failures == 0);
        BOOST_TEST(locks.try_acquire("busy").has_value());
    }
}

BOOST_AUTO_TEST_SUITE_END()
