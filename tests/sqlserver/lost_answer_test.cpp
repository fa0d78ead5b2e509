// Leases and applocks whose connection dies after the server's commit and before its answer: they are found again, or
// given back. On a server that speaks TDS; which one, ROWLOCK_TEST_SQLSERVER says.
#include <functional>
#include <random>
#include <vector>

#include <rowlock/error.hpp>

#include <resource_name.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/recorder.hpp>
#include <support/slack.hpp>

#include "lease_fixture.hpp"
#include "through_relay.hpp"

using namespace std::chrono_literals;

namespace rowlock {
namespace {

using steady = std::chrono::steady_clock;
using test::eventually;
using test::in_background;
using test::recorder;
using test::slack;
using test::throws;

// A session of Babelfish takes seconds of the processor to get going.
constexpr auto new_session = 20s;

struct fixture : test::lease_fixture, test::through_relay {
    fixture() : lease_fixture{"rowlock_lost_answer_test"} {}

    [[nodiscard]] provider open_through(options opt = {}) {
        opt.schema = schema;
        opt.events = heard;
        return sqlserver::leases(connection_string(), std::move(opt));
    }
    std::string grants() {
        return sql(
            "SELECT (SELECT COUNT(*) FROM {s}.lock WHERE expires_at > SYSUTCDATETIME()) + "
            "(SELECT COUNT(*) FROM {s}.part WHERE expires_at > SYSUTCDATETIME())");
    }
    // Every way to get a lease.
    [[nodiscard]] std::vector<std::function<lock_handle(provider&)>> ways() const {
        return {[this](provider& p) { return p.try_acquire(n).value(); },
                [this](provider& p) {
                    return shared_mutex{p, n}.try_acquire_shared().value();
                },
                [this](provider& p) {
                    return upgrade_mutex{p, n}.try_acquire_upgrade().value();
                },
                [this](provider& p) {
                    return semaphore{p, n, 1}.try_acquire().value();
                }};
    }

    const std::string n = "lost answer test " + std::to_string(std::random_device{}());
    // By these a question is known: the name is a parameter of those that take a lease, the pin of those that upgrade
    // one, the bell of those that release one.
    const sqlserver::lease_keys keys = sqlserver::lease_keys_of(schema, n);
    const std::shared_ptr<recorder> heard = std::make_shared<recorder>();
};

const auto if_there = boost::unit_test::precondition(test::has_sqlserver);

}  // namespace

BOOST_AUTO_TEST_SUITE(lost_answers, *if_there)

BOOST_FIXTURE_TEST_CASE(a_grant_is_found_again_by_its_request, fixture) {
    auto locks = open_through({.ttl = 60s, .operation_timeout = new_session}), others = open();
    for (const auto& get : ways())
        for (const bool question : {false, true}) {
            const int before = between->lost();
            question ? between->lose_question(n) : between->lose_answer(n);
            const auto started = steady::now();
            auto got = get(locks);
            BOOST_TEST((steady::now() - started < new_session), "a small part of the time to live, and a new session");
            BOOST_TEST(between->lost() - before == 1);
            BOOST_TEST(grants() == "1", "none was taken a second time");
            BOOST_TEST(sql("SELECT MAX(token) FROM {s}.lock") == std::to_string(got.token().value().value()));
            BOOST_CHECK_NO_THROW(got.verify());
            BOOST_TEST(!others.try_acquire(n), "the control: with another request's id it is taken");
            got.release();
            BOOST_TEST(grants() == "0");
            BOOST_TEST(others.try_acquire(n).has_value());
        }
    BOOST_TEST(heard->count("granted") == 8);
    BOOST_TEST(heard->count("released") == 8);
}

BOOST_FIXTURE_TEST_CASE(a_doubt_is_told_and_the_grant_is_given_back_as_soon_as_the_server_can_be_reached, fixture) {
    auto locks = open_through({.ttl = 120s, .operation_timeout = new_session}), others = open();
    for (const auto& get : ways()) {
        between->lose_answer_and_close(n);
        BOOST_CHECK_THROW((void)get(locks), in_doubt_error);
        BOOST_TEST(grants() == "1", "the control: it is held, and nobody has it");
        BOOST_TEST(!others.try_acquire(n));
        between->open();
        const auto opened = steady::now();
        BOOST_TEST(others.try_acquire(n, 60s).has_value(), "long before it ends");
        BOOST_TEST_MESSAGE("given back after " << (steady::now() - opened) / 1ms << " ms");
        BOOST_TEST(eventually([&] { return grants() == "0"; }));
    }
}

BOOST_FIXTURE_TEST_CASE(in_doubt_for_good_it_ends_with_the_time_to_live, fixture) {
    constexpr auto ttl = 10s;
    auto locks = open_through({.ttl = ttl, .operation_timeout = new_session}), others = open();
    for (const auto& get : ways()) {
        const auto before = steady::now();
        between->lose_answer_and_close(n);
        BOOST_CHECK_THROW((void)get(locks), in_doubt_error);
        BOOST_TEST((steady::now() - before < ttl), "a closed port is seen at once");
        BOOST_TEST(others.try_acquire(n, ttl + 2 * slack).has_value());
        BOOST_TEST((steady::now() - before >= ttl), "the control: not before");
        between->open();
    }
}

// It was granted at the head of the queue.
BOOST_FIXTURE_TEST_CASE(a_grant_at_the_end_of_a_wait_leaves_nothing_behind, fixture) {
    auto locks = open_through({.ttl = 120s, .operation_timeout = new_session}), others = open();
    auto held = others.acquire(n);
    auto waits = in_background([&] {
        try {
            return locks.acquire(n).token().has_value();
        } catch (const in_doubt_error&) {
            return true;
        }
    });
    BOOST_TEST(eventually([&] { return !past.is_free(keys.queue); }));
    // What asks at the head of the queue, now that it has come there, and was told that the lease is another's.
    const int before = between->lost();
    between->lose_answer(n);
    held.release();
    BOOST_TEST(waits.get());
    BOOST_TEST(between->lost() - before == 1);
    BOOST_TEST(others.try_acquire(n, 60s).has_value(), "long before it ends");
    BOOST_TEST(eventually([&] { return grants() == "0"; }));
}

BOOST_FIXTURE_TEST_CASE(an_upgrade_is_found_again, fixture) {
    auto locks = open_through({.ttl = 60s, .operation_timeout = new_session}), others = open();
    for (const bool question : {false, true}) {
        auto held = upgrade_mutex{locks, n}.acquire_upgrade();
        const auto token = held.token().value();
        question ? between->lose_question(keys.pin) : between->lose_answer(keys.pin);
        BOOST_TEST(held.try_upgrade());
        BOOST_TEST((held.token().value() > token));
        BOOST_TEST((held.mode() == lock_mode::exclusive));
        BOOST_CHECK_NO_THROW(held.verify());
        BOOST_TEST(grants() == "1");
        BOOST_TEST(!shared_mutex(others, n).try_acquire_shared());
        held.release();
        BOOST_TEST(grants() == "0");
    }
    BOOST_TEST(between->lost() == 2);
}

BOOST_FIXTURE_TEST_CASE(a_release_is_told_again, fixture) {
    auto locks = open_through({.ttl = 120s, .operation_timeout = new_session}), others = open();
    for (const auto& get : ways())
        for (const bool question : {false, true}) {
            const int before = between->lost();
            auto held = get(locks);
            question ? between->lose_question(keys.bell) : between->lose_answer(keys.bell);
            BOOST_CHECK_NO_THROW(held.release());
            BOOST_TEST(between->lost() - before == 1);
            BOOST_TEST(grants() == "0");
            BOOST_TEST(sql("SELECT MAX(sharers + upgraders + permits) FROM {s}.lock") == "0", "it was counted once");
            BOOST_TEST(others.try_acquire(n).has_value());
        }
    BOOST_TEST(heard->count("release_failed") == 0);
}

BOOST_FIXTURE_TEST_CASE(control_renewals_that_never_arrive_are_a_loss_before_the_end, fixture) {
    constexpr auto ttl = 10s;
    auto locks = open_through({.ttl = ttl, .operation_timeout = new_session});
    const auto held = locks.acquire(n);
    std::promise<std::string> left;
    const std::stop_callback on_loss{held.lost(), [&] { left.set_value(grants()); }};
    between->close();
    auto still_held = left.get_future();
    BOOST_REQUIRE((still_held.wait_for(ttl + slack) == std::future_status::ready));
    BOOST_TEST(still_held.get() == "1");
    BOOST_TEST((held.lost_reason() == loss_reason::expired));
}

// There is nothing to find again: what the session got ends with it.
BOOST_FIXTURE_TEST_CASE(an_applock_ends_with_the_session_whose_answer_was_lost, fixture) {
    auto locks = sqlserver::applock(connection_string(), {.operation_timeout = new_session, .events = heard});
    const auto other = n + " other";
    for (const bool question : {false, true}) {
        auto beside = locks.acquire(other);
        question ? between->lose_question(n) : between->lose_answer(n);
        BOOST_CHECK_THROW((void)locks.try_acquire(n), connection_error);
        BOOST_TEST(eventually([&] { return past.is_free(n); }));
        BOOST_TEST(eventually([&] { return beside.lost().stop_requested(); }), "with everything else that it held");
        BOOST_TEST((beside.lost_reason() == loss_reason::connection));
        BOOST_TEST(eventually([&] { return past.is_free(other); }));

        auto held = locks.acquire(n);
        question ? between->lose_question(n) : between->lose_answer(n);
        BOOST_CHECK_THROW(held.release(), connection_error);
        BOOST_TEST(eventually([&] { return past.is_free(n); }));
        BOOST_TEST(locks.try_acquire(n).has_value());
    }
    BOOST_TEST(between->lost() == 4);
}

// It was committed, so that it is never given out again.
BOOST_FIXTURE_TEST_CASE(a_token_whose_answer_was_lost_is_skipped, fixture) {
    auto locks =
        sqlserver::applock(connection_string(), {.operation_timeout = new_session, .fencing = true, .schema = schema});
    // As its resource is a hash, the name is a parameter of what raises the counter only.
    const auto odd = n + " ";
    const auto last = locks.acquire(odd).token().value().value();
    for (const bool question : {false, true}) {
        question ? between->lose_question(odd) : between->lose_answer(odd);
        BOOST_CHECK_THROW((void)locks.try_acquire(odd), connection_error);
        BOOST_TEST(eventually([&] { return past.is_free(sqlserver::resource_of(odd)); }));
    }
    BOOST_TEST(between->lost() == 2);
    BOOST_TEST(locks.acquire(odd).token().value().value() == last + 2);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace rowlock
