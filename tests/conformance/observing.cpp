// Which events a provider's observer hears, and that it can do no harm.
#include <boost/test/unit_test.hpp>

#include <utility>

#include <rowlock/error.hpp>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

using words = std::vector<std::string>;

void each_outcome_has_its_event(context& c) {
    const auto heard = std::make_shared<test::recorder>();
    c.use({.key_prefix = "app:", .events = heard});
    auto locks = c.open();
    auto held = locks.acquire("n");
    BOOST_TEST(!locks.try_acquire("n"));
    BOOST_TEST(!locks.try_acquire("n", 3ms));
    std::stop_source stop;
    stop.request_stop();
    BOOST_CHECK_THROW((void)locks.acquire("n", stop.get_token()), cancelled);
    held.release();
    held.release();
    BOOST_TEST((heard->words() == words{"granted", "busy", "timed_out", "cancelled", "released"}));
    for (const auto& e : heard->all()) {
        BOOST_TEST(e.name == c.place().own_prefix() + "app:n");
        BOOST_TEST(e.backend == c.kind().backend);
        BOOST_TEST((e.duration >= 0ns));
    }
    auto all = heard->all();
    std::erase_if(all, [](const auto& e) { return e.what == "renewed"; });
    BOOST_TEST((all.front().token == held.token()));
    BOOST_TEST((all.back().token == held.token()));
    BOOST_REQUIRE(all.size() == 5U);
    BOOST_TEST((all[2].duration >= 3ms), "how long it waited");
    BOOST_TEST((all.back().duration >= 3ms), "how long it was held");
}

void a_destructor_tells_like_a_release(context& c) {
    const auto heard = std::make_shared<test::recorder>();
    c.use({.events = heard});
    auto locks = c.open();
    (void)locks.acquire("n");
    BOOST_TEST((heard->words() == words{"granted", "released"}));
}

void an_observer_that_throws_changes_nothing(context& c) {
    const auto ttl = c.kind().short_ttl * test::slowness;
    c.use({.ttl = ttl, .events = std::make_shared<test::throwing_observer>()});
    auto locks = c.open();
    auto held = locks.try_acquire("n");
    BOOST_REQUIRE(held.has_value());
    BOOST_TEST(!locks.try_acquire("n"));
    BOOST_TEST(!locks.try_acquire("n", 2 * ttl), "held beyond its time to live: renewed");
    std::stop_source stop;
    stop.request_stop();
    BOOST_CHECK_THROW((void)locks.acquire("n", stop.get_token()), cancelled);
    BOOST_CHECK_NO_THROW(held->verify());
    held->release();
    c.check_free();
}

void an_observer_may_use_the_provider(context& c) {
    struct curious final : observer {
        void released(const lock_event&) override {
            if (const auto once = std::exchange(locks, std::nullopt))
                freed = provider{*once}.try_acquire("n").has_value();
        }
        std::optional<provider> locks;
        bool freed = false;
    };
    const auto asks = std::make_shared<curious>();
    c.use({.events = asks});
    auto locks = c.open();
    auto held = locks.acquire("n");
    asks->locks = locks;
    held.release();
    BOOST_TEST(asks->freed);
}

}  // namespace

void add_observing_cases(case_list& cases) {
    cases.insert(cases.end(),
                 {{"each_outcome_has_its_event", each_outcome_has_its_event},
                  {"a_destructor_tells_like_a_release", a_destructor_tells_like_a_release},
                  {"an_observer_that_throws_changes_nothing", an_observer_that_throws_changes_nothing, need::renewal},
                  {"an_observer_may_use_the_provider", an_observer_may_use_the_provider}});
}

}  // namespace rowlock::conformance
