// Names are exact, whatever the database makes of text.
#include <boost/test/unit_test.hpp>

#include <stdexcept>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

using namespace std::string_literals;

std::size_t longest_name(context& c) { return 255 - c.place().own_prefix().size(); }

std::vector<std::string> odd_names(context& c) {
    const auto longest = longest_name(c);
    return {
        "nightly",
        "Nightly",  // case counts
        "NIGHTLY",
        "nightly ",  // so do blanks
        " nightly",
        "nightly\t",
        "nightly\n",
        "caf\xC3\xA9",   // composed
        "cafe\xCC\x81",  // decomposed: the same to a reader, another name
        "\xF0\x9F\x9A\xA3",
        "stra\xC3\x9F"
        "e",
        "strasse",
        "\xC4\xB0stanbul",  // a dotted capital I
        "istanbul",
        "it's",
        "it''s",
        "\"quoted\"",
        "[bracketed]",
        "`ticked`",
        "'; DROP TABLE rowlock_lock; --",
        "' OR '1'='1",
        "100%",
        "a_b",
        "a%b",
        "axb",
        "\\",
        "$1",
        "?1",
        "42",  // looks like a number
        "042",
        "4.2e1",
        "NULL",
        "/etc/passwd",
        "../up",
        ".",
        "..",
        "\x01",
        "\x7F",
        std::string(longest, 'x'),
        std::string(longest - 1, 'x') + "y",
        std::string(longest - 1, 'x'),
        "\xEF\xBF\xBF",  // well-formed, though no character
    };
}

void every_name_is_a_lock_of_its_own(context& c) {
    auto locks = c.open();
    std::vector<lock_handle> held;
    for (const auto& name : odd_names(c)) {
        auto h = locks.try_acquire(name);
        BOOST_REQUIRE_MESSAGE(h.has_value(), "\"" << name << "\" is taken for another name");
        BOOST_TEST(h->name() == name);
        held.push_back(std::move(*h));
    }
    for (const auto& name : odd_names(c)) BOOST_TEST(!locks.try_acquire(name), "\"" << name << "\" is held");
    for (const auto& h : held) BOOST_CHECK_NO_THROW(const_cast<lock_handle&>(h).verify());
}

void names_come_back_unchanged(context& c) {
    auto locks = c.open();
    std::vector<lock_handle> held;
    for (const auto& name : odd_names(c)) held.push_back(locks.acquire(name));
    auto expected = odd_names(c);
    std::sort(expected.begin(), expected.end());
    std::vector<std::string> shown;
    for (const auto& s : locks.status()) shown.push_back(s.name);
    BOOST_TEST(shown == expected, boost::test_tools::per_element());
}

void bad_names_are_refused_and_change_nothing(context& c) {
    auto locks = c.open();
    for (const auto& bad :
         {""s, std::string(256, 'x'), "a\0b"s, "\0"s, "\xFF"s, "\xC0\x80"s, "\xED\xA0\x80"s, "caf\xE9"s}) {
        BOOST_CHECK_THROW((void)locks.try_acquire(bad), std::invalid_argument);
        BOOST_CHECK_THROW((void)locks.acquire(bad), std::invalid_argument);
        BOOST_CHECK_THROW((mutex{locks, bad}), std::invalid_argument);
        BOOST_CHECK_THROW((void)locks.try_acquire_all({"good", bad}), std::invalid_argument);
        if (c.kind().operates) BOOST_CHECK_THROW(locks.break_lock(bad, "reason"), std::invalid_argument);
    }
    BOOST_TEST(c.place().holders_in_database("good") == 0);
    c.check_free("good");
}

void the_prefix_is_part_of_the_name(context& c) {
    c.use({.key_prefix = "app:"});
    auto locks = c.open();
    const auto held = locks.acquire("n");
    BOOST_TEST(held.name() == "n");
    BOOST_TEST(c.place().holders_in_database("app:n") == 1);
    if (!c.kind().inspects) return;
    BOOST_REQUIRE(locks.status().size() == 1U);
    BOOST_TEST(locks.status().at(0).name == "app:n");
    BOOST_TEST(locks.status("app:").size() == 1U);
    BOOST_TEST(locks.status("n").empty());
}

void the_prefix_counts_into_the_length(context& c) {
    c.use({.key_prefix = std::string(longest_name(c) - 5, 'p')});
    auto locks = c.open();
    BOOST_TEST(locks.try_acquire("12345").has_value());
    BOOST_CHECK_THROW((void)locks.try_acquire("123456"), std::invalid_argument);
}

void primitives_share_one_space_of_names(context& c) {
    auto locks = c.open();
    if (!locks.supports(primitive::shared_mutex) || !locks.supports(primitive::semaphore)) return;
    const auto reading = shared_mutex{locks, "n"}.acquire_shared();
    BOOST_TEST(!mutex(locks, "n").try_acquire());
    BOOST_TEST(!semaphore(locks, "n", 3).try_acquire());
    BOOST_TEST(shared_mutex(locks, "n").try_acquire_shared().has_value());
    const auto permit = semaphore{locks, "s", 3}.acquire();
    BOOST_TEST(!mutex(locks, "s").try_acquire());
    BOOST_TEST(!shared_mutex(locks, "s").try_acquire_shared());
}

}  // namespace

void add_name_cases(case_list& cases) {
    cases.insert(cases.end(), {{"every_name_is_a_lock_of_its_own", every_name_is_a_lock_of_its_own},
                               {"names_come_back_unchanged", names_come_back_unchanged, need::inspection},
                               {"bad_names_are_refused_and_change_nothing", bad_names_are_refused_and_change_nothing},
                               {"the_prefix_is_part_of_the_name", the_prefix_is_part_of_the_name},
                               {"the_prefix_counts_into_the_length", the_prefix_counts_into_the_length},
                               {"primitives_share_one_space_of_names", primitives_share_one_space_of_names}});
}

}  // namespace rowlock::conformance
