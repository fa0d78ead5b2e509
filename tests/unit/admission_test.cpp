#include <boost/test/unit_test.hpp>

#include <array>

#include <admission.hpp>

using rowlock::lock_mode;
using rowlock::detail::holders;
using enum rowlock::lock_mode;

namespace {

constexpr std::array modes{exclusive, shared, upgrade, permit};

holders with(std::initializer_list<lock_mode> held) {
    holders h;
    for (const auto m : held) h.add(m);
    return h;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_free_name_admits_every_mode) {
    for (const auto asked : modes) BOOST_TEST(holders{}.admit(asked, 1, false));
}

// The table in primitive.hpp, whole. A semaphore of 1 is used, so a held permit is a full one.
BOOST_AUTO_TEST_CASE(modes_go_together_as_documented) {
    constexpr std::array<std::array<bool, 4>, 4> expected{{
        // asked: exclusive, shared, upgrade, permit
        {false, false, false, false},  // held: exclusive
        {false, true, true, false},    // held: shared
        {false, true, false, false},   // held: upgrade
        {false, false, false, false},  // held: permit
    }};
    for (std::size_t held = 0; held < modes.size(); ++held)
        for (std::size_t asked = 0; asked < modes.size(); ++asked)
            BOOST_TEST(with({modes[held]}).admit(modes[asked], 1, false) == expected[held][asked],
                       rowlock::to_string(modes[asked]) << " beside " << rowlock::to_string(modes[held]));
}

BOOST_AUTO_TEST_CASE(permits_are_counted_against_the_askers_limit) {
    const auto four = with({permit, permit, permit, permit});
    BOOST_TEST(four.admit(permit, 5, false));
    BOOST_TEST(!four.admit(permit, 4, false));
    BOOST_TEST(!four.admit(permit, 3, false));
    BOOST_TEST(four.admit(permit, 2147483647, false));
    BOOST_TEST(!four.admit(shared, 5, false));
    BOOST_TEST(!four.admit(exclusive, 5, false));
    BOOST_TEST(!four.admit(upgrade, 5, false));
}

BOOST_AUTO_TEST_CASE(one_upgrade_beside_any_number_of_shared) {
    BOOST_TEST(with({shared, shared, shared}).admit(upgrade, 1, false));
    BOOST_TEST(!with({shared, upgrade}).admit(upgrade, 1, false));
    BOOST_TEST(with({shared, upgrade}).admit(shared, 1, false));
}

BOOST_AUTO_TEST_CASE(an_upgrade_waits_for_the_readers_only) {
    BOOST_TEST(with({upgrade}).admit(exclusive, 1, true));
    BOOST_TEST(!with({upgrade, shared}).admit(exclusive, 1, true));
    BOOST_TEST(!with({upgrade}).admit(exclusive, 1, false));
    // Its own lock is gone: nothing is there that could be upgraded.
    BOOST_TEST(!holders{}.admit(exclusive, 1, true));
    BOOST_TEST(!with({exclusive}).admit(exclusive, 1, true));
}

BOOST_AUTO_TEST_CASE(who_leaves_makes_room) {
    for (const auto m : modes) {
        auto h = with({m});
        BOOST_TEST(!h.none());
        h.remove(m);
        BOOST_TEST(h.none());
        BOOST_TEST(h.admit(exclusive, 1, false));
    }
    auto two = with({shared, shared});
    two.remove(shared);
    BOOST_TEST(!two.admit(exclusive, 1, false));
}
