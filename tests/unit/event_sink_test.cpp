#include <boost/test/unit_test.hpp>

#include <event_sink.hpp>

#include <support/recorder.hpp>

using rowlock::lock_event;
using rowlock::observer;
using rowlock::detail::event_sink;

namespace {

constexpr event_sink::event_function every_function[] = {
    &observer::granted, &observer::busy,    &observer::timed_out,      &observer::cancelled,     &observer::released,
    &observer::lost,    &observer::renewed, &observer::renewal_failed, &observer::release_failed};

}  // namespace

BOOST_AUTO_TEST_CASE(nobody_needs_to_listen) {
    const event_sink sink{nullptr, "b"};
    for (const auto f : every_function) sink.tell(f, {});
}

BOOST_AUTO_TEST_CASE(each_event_reaches_its_function_with_the_back_ends_name) {
    const auto heard = std::make_shared<rowlock::test::recorder>();
    const event_sink sink{heard, "some back end"};
    for (const auto f : every_function) sink.tell(f, {.name = "n", .detail = "d"});
    const std::vector<std::string> expected{"granted", "busy",    "timed_out",      "cancelled",     "released",
                                            "lost",    "renewed", "renewal_failed", "release_failed"};
    const auto all = heard->all();
    BOOST_REQUIRE(all.size() == expected.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
        BOOST_TEST(all[i].what == expected[i]);
        BOOST_TEST(all[i].name == "n");
        BOOST_TEST(all[i].detail == "d");
        BOOST_TEST(all[i].backend == "some back end");
    }
}

BOOST_AUTO_TEST_CASE(what_an_observer_throws_ends_here) {
    const event_sink sink{std::make_shared<rowlock::test::throwing_observer>(), "b"};
    for (const auto f : every_function) sink.tell(f, {});
}

BOOST_AUTO_TEST_CASE(an_observer_that_overrides_nothing_hears_in_peace) {
    const event_sink sink{std::make_shared<observer>(), "b"};
    for (const auto f : every_function) sink.tell(f, {});
}
