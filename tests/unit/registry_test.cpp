#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <stdexcept>

#include <rowlock/rowlock.hpp>

using namespace std::chrono_literals;

namespace {

// An unknown URL is answered with the list of those that are known.
bool lists_what_is_known(const std::invalid_argument& e) {
    const std::string_view message{e.what()};
    const auto known = rowlock::registered_backends();
    return std::all_of(known.begin(), known.end(),
                       [&](const auto& k) { return message.find(k) != std::string_view::npos; });
}

}  // namespace

BOOST_AUTO_TEST_CASE(memory_is_always_there) {
    const auto known = rowlock::registered_backends();
    BOOST_TEST(std::count(known.begin(), known.end(), "memory:") == 1);
    BOOST_TEST(rowlock::open("memory:").traits().name == "memory");
}

#ifdef ROWLOCK_HAVE_SQLITE
BOOST_AUTO_TEST_CASE(sqlite_is_there_if_built) {
    const auto known = rowlock::registered_backends();
    BOOST_TEST(std::count(known.begin(), known.end(), "sqlite:PATH") == 1);
}
#endif

BOOST_AUTO_TEST_CASE(an_unknown_url_lists_what_is_known) {
    for (const auto* bad : {"", "memory", "Memory:", "oracle:x", "/tmp/locks.db", " memory:", "sqlite", "://"}) {
        BOOST_CHECK_EXCEPTION((void)rowlock::open(bad), std::invalid_argument, lists_what_is_known);
        BOOST_CHECK_EXCEPTION((void)rowlock::open_schema(bad), std::invalid_argument, lists_what_is_known);
        BOOST_CHECK_EXCEPTION((void)rowlock::diagnose(bad), std::invalid_argument, lists_what_is_known);
    }
}

BOOST_AUTO_TEST_CASE(memory_takes_nothing_behind_the_colon) {
    BOOST_CHECK_THROW((void)rowlock::open("memory:x"), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(options_are_checked_before_anything_is_opened) {
    BOOST_CHECK_THROW((void)rowlock::open("memory:", {.ttl = 1ms}), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(each_opening_of_memory_is_a_set_of_its_own) {
    auto a = rowlock::open("memory:"), b = rowlock::open("memory:");
    const auto held = a.try_acquire("n");
    BOOST_TEST(held.has_value());
    BOOST_TEST(b.try_acquire("n").has_value());
    auto copy = a;
    BOOST_TEST(!copy.try_acquire("n").has_value());
}

BOOST_AUTO_TEST_CASE(memory_has_no_schema_to_migrate) {
    auto s = rowlock::open_schema("memory:");
    BOOST_TEST(s.plan().empty());
    BOOST_TEST(s.all().empty());
    BOOST_TEST(s.migrate().empty());
    BOOST_CHECK_NO_THROW(s.check());
}

BOOST_AUTO_TEST_CASE(memory_is_diagnosed) {
    const auto found = rowlock::diagnose("memory:");
    BOOST_REQUIRE(!found.empty());
    for (const auto& f : found) BOOST_TEST((f.level == rowlock::severity::good) == f.remedy.empty());
}
