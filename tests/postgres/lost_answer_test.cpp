// Leases whose connection dies after the server's commit and before its answer: they are found again, or given back.
#include <boost/test/unit_test.hpp>

#include <functional>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>
#include <rowlock/schema.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/postgres_connection.hpp>
#include <support/postgres_server.hpp>
#include <support/recorder.hpp>
#include <support/relay.hpp>
#include <support/slack.hpp>

using namespace std::chrono_literals;
using rowlock::test::eventually;
using rowlock::test::in_background;
using rowlock::test::postgres_connection;
using rowlock::test::postgres_server;
using rowlock::test::recorder;
using rowlock::test::slack;
using rowlock::test::throws;
using steady = std::chrono::steady_clock;

namespace {

using handles = std::vector<rowlock::lock_handle>;

// A way to get a lease: the statement that does it, and how it is released.
struct way {
    const char* take;
    const char* release;
    std::function<handles(rowlock::provider&)> get;
    std::string grants = "1";
};

handles one(rowlock::lock_handle h) {
    handles all;
    all.push_back(std::move(h));
    return all;
}

const std::vector<way>& ways() {
    static const std::vector<way> all{
        {"rowlock_take_exclusive", "rowlock_release_exclusive",
         [](rowlock::provider& p) { return one(p.try_acquire("n").value()); }},
        {"rowlock_take_part", "rowlock_release_part",
         [](rowlock::provider& p) {
             return one(rowlock::shared_mutex{p, "n"}.try_acquire_shared().value());
         }},
        {"rowlock_take_part", "rowlock_release_part",
         [](rowlock::provider& p) {
             return one(rowlock::upgrade_mutex{p, "n"}.try_acquire_upgrade().value());
         }},
        {"rowlock_take_part", "rowlock_release_part",
         [](rowlock::provider& p) {
             return one(rowlock::semaphore{p, "n", 1}.try_acquire().value());
         }},
        {"rowlock_take_several", "rowlock_release_exclusive",
         [](rowlock::provider& p) {
             return p.try_acquire_all({"m", "n"}).value();
         },
         "2"},
    };
    return all;
}

struct fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    postgres_connection look{server.conninfo(database)};
    rowlock::test::relay relay{server.socket()};
    std::shared_ptr<recorder> heard = std::make_shared<recorder>();

    fixture() { rowlock::open_schema("postgresql:" + server.conninfo(database)).migrate(); }

    rowlock::provider open(rowlock::options opt = {}) const {
        opt.events = heard;
        return rowlock::open("postgresql+lease:" + relay.conninfo() + "user=postgres dbname=" + database,
                             std::move(opt));
    }
    // Past the relay.
    rowlock::provider open_others(rowlock::options opt = {}) const {
        return rowlock::open("postgresql+lease:" + server.conninfo(database), std::move(opt));
    }
    std::string grants() {
        return look.sql(
            "SELECT (SELECT count(*) FROM rowlock.lock WHERE expires_at > clock_timestamp()) + "
            "(SELECT count(*) FROM rowlock.part WHERE provider IS NOT NULL AND expires_at > clock_timestamp())");
    }
    bool somebody_waits() {
        return eventually([&] {
            return look.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == "1";
        });
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(lost_answers, fixture)

BOOST_AUTO_TEST_CASE(a_grant_is_found_again_by_its_request) {
    auto locks = open(), others = open_others();
    for (const auto& w : ways()) {
        const int before = relay.lost();
        relay.lose_answer(w.take);
        const auto started = steady::now();
        auto got = w.get(locks);
        BOOST_TEST((steady::now() - started < slack), "a small part of the time to live");
        BOOST_TEST(relay.lost() - before == 1);
        BOOST_TEST(grants() == w.grants, "none was taken a second time");
        BOOST_TEST(look.sql("SELECT token FROM rowlock.lock WHERE name = 'n'") ==
                   std::to_string(got.back().token().value().value()));
        for (const auto& h : got) BOOST_CHECK_NO_THROW(h.verify());
        BOOST_TEST(!others.try_acquire("n"), "the control: with another request's id it is taken");
        got.clear();
        BOOST_TEST(grants() == "0");
        BOOST_TEST(others.try_acquire("n").has_value());
    }
    BOOST_TEST(heard->count("granted") == 6);
    BOOST_TEST(heard->count("released") == 6);
}

BOOST_AUTO_TEST_CASE(a_question_that_was_lost_is_asked_again) {
    auto locks = open();
    for (const auto& w : ways()) {
        const int before = relay.lost();
        relay.lose_question(w.take);
        auto got = w.get(locks);
        BOOST_TEST(relay.lost() - before == 1);
        BOOST_TEST(grants() == w.grants);
    }
}

BOOST_AUTO_TEST_CASE(a_doubt_is_told_and_the_grant_is_given_back_as_soon_as_the_server_can_be_reached) {
    auto locks = open({.ttl = 5s, .operation_timeout = 500ms}), others = open_others();
    for (const auto& w : ways()) {
        relay.lose_answer_and_close(w.take);
        BOOST_CHECK_THROW((void)w.get(locks), rowlock::in_doubt_error);
        BOOST_TEST(grants() == w.grants, "the control: it is held, and nobody has it");
        BOOST_TEST(!others.try_acquire("n"));
        relay.open();
        BOOST_TEST(others.try_acquire("n", 2 * slack).has_value(), "long before it ends");
        BOOST_TEST(eventually([&] { return grants() == "0"; }));
    }
}

BOOST_AUTO_TEST_CASE(in_doubt_for_good_it_ends_with_the_time_to_live) {
    constexpr auto ttl = 500ms * rowlock::test::slowness;
    auto locks = open({.ttl = ttl, .operation_timeout = 200ms}), others = open_others();
    for (const auto& w : ways()) {
        const auto before = steady::now();
        relay.lose_answer_and_close(w.take);
        BOOST_CHECK_THROW((void)w.get(locks), rowlock::in_doubt_error);
        BOOST_TEST(others.try_acquire("n", ttl + slack).has_value());
        BOOST_TEST((steady::now() - before >= ttl), "the control: not before");
        relay.open();
    }
}

// It was granted at the head of the queue; who waited is told that it is not known, and the next one need not wait.
BOOST_AUTO_TEST_CASE(a_grant_at_the_end_of_a_wait_leaves_nothing_behind) {
    auto locks = open({.ttl = 5s}), others = open_others();
    for (int i = 0; i < 3; ++i) {
        auto held = others.acquire("n");
        auto waits = in_background([&] {
            try {
                (void)locks.acquire("n").token().value();
                return true;
            } catch (const rowlock::in_doubt_error&) {
                return true;
            }
        });
        BOOST_TEST(somebody_waits());
        const int before = relay.lost();
        relay.lose_answer("rowlock_take_next");
        held.release();
        BOOST_TEST(waits.get());
        BOOST_TEST(relay.lost() - before == 1);
        BOOST_TEST(others.try_acquire("n", 2 * slack).has_value());
        BOOST_TEST(eventually([&] { return grants() == "0"; }));
    }
}

BOOST_AUTO_TEST_CASE(an_upgrade_is_found_again) {
    auto locks = open(), others = open_others();
    for (const bool question : {false, true}) {
        auto held = rowlock::upgrade_mutex{locks, "n"}.acquire_upgrade();
        const auto before = held.token().value();
        question ? relay.lose_question("rowlock_take_upgrade") : relay.lose_answer("rowlock_take_upgrade");
        BOOST_TEST(held.try_upgrade());
        BOOST_TEST((held.token().value() > before));
        BOOST_TEST((held.mode() == rowlock::lock_mode::exclusive));
        BOOST_CHECK_NO_THROW(held.verify());
        BOOST_TEST(grants() == "1");
        BOOST_TEST(!rowlock::shared_mutex(others, "n").try_acquire_shared());
        held.release();
        BOOST_TEST(grants() == "0");
    }
    BOOST_TEST(relay.lost() == 2);
}

BOOST_AUTO_TEST_CASE(a_release_is_told_again) {
    auto locks = open({.ttl = 5s}), others = open_others();
    for (const auto& w : ways())
        for (const bool question : {false, true}) {
            const int before = relay.lost();
            auto held = w.get(locks);
            auto waits = in_background([&] { return others.try_acquire("n", 10s).has_value(); });
            BOOST_TEST(somebody_waits());
            question ? relay.lose_question(w.release) : relay.lose_answer(w.release);
            const auto started = steady::now();
            for (auto& h : held) BOOST_CHECK_NO_THROW(h.release());
            BOOST_TEST(waits.get());
            BOOST_TEST((steady::now() - started < slack));
            BOOST_TEST(relay.lost() - before == 1);
            BOOST_TEST(eventually([&] { return grants() == "0"; }));
            BOOST_TEST(look.sql("SELECT sharers + upgraders + permits FROM rowlock.lock WHERE name = 'n'") == "0",
                       "it was counted once");
        }
    BOOST_TEST(heard->count("release_failed") == 0);
}

BOOST_AUTO_TEST_CASE(a_release_that_cannot_be_told_is_an_error_and_told_later) {
    auto locks = open({.ttl = 5s, .operation_timeout = 500ms}), others = open_others();
    for (const auto& w : ways()) {
        auto held = w.get(locks);
        relay.close();
        for (auto& h : held) BOOST_CHECK_THROW(h.release(), rowlock::connection_error);
        BOOST_TEST(!others.try_acquire("n"), "the control: it is not free by itself");
        relay.open();
        BOOST_TEST(others.try_acquire("n", 2 * slack).has_value());
        BOOST_TEST(eventually([&] { return grants() == "0"; }));
    }
    BOOST_TEST(heard->count("release_failed") == 6);
}

BOOST_AUTO_TEST_CASE(a_renewal_that_got_no_answer_is_tried_again_in_time) {
    constexpr auto ttl = 600ms * rowlock::test::slowness;
    auto locks = open({.ttl = ttl});
    for (const auto& w : ways())
        for (const bool question : {false, true}) {
            auto held = w.get(locks);
            const int failed = heard->count("renewal_failed"), renewed = heard->count("renewed");
            question ? relay.lose_question("rowlock_renew") : relay.lose_answer("rowlock_renew");
            BOOST_TEST(heard->heard("renewal_failed", failed + 1));
            BOOST_TEST(heard->heard("renewed", renewed + 1));
            for (const auto& h : held) {
                BOOST_TEST(!h.lost().stop_requested());
                BOOST_CHECK_NO_THROW(h.verify());
            }
        }
    BOOST_TEST(heard->count("lost") == 0);
}

BOOST_AUTO_TEST_CASE(control_renewals_that_never_arrive_are_a_loss_before_the_end) {
    constexpr auto ttl = 2s * rowlock::test::slowness;
    auto locks = open({.ttl = ttl, .operation_timeout = 200ms});
    const auto held = locks.acquire("n");
    std::promise<std::string> left;
    const std::stop_callback on_loss{
        held.lost(),
        [&] { left.set_value(look.sql("SELECT expires_at > clock_timestamp() FROM rowlock.lock WHERE name = 'n'")); }};
    relay.close();
    auto still_held = left.get_future();
    BOOST_REQUIRE((still_held.wait_for(ttl + slack) == std::future_status::ready));
    BOOST_TEST(still_held.get() == "t");
    BOOST_TEST((held.lost_reason() == rowlock::loss_reason::expired));
}

BOOST_AUTO_TEST_SUITE_END()
