#include <boost/test/unit_test.hpp>

#include <held_set.hpp>

using rowlock::request_id;
using rowlock::detail::held_lock;
using rowlock::detail::held_set;

namespace {

std::shared_ptr<held_lock> lock_with(request_id id) {
    return std::make_shared<held_lock>(rowlock::lock_request{.name = "n", .id = id}, 0);
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_was_added_is_found_by_its_whole_id) {
    held_set s;
    const auto a = lock_with({1, 10});
    s.add(a);
    BOOST_TEST(s.find({1, 10}) == a);
    BOOST_TEST(s.find({1, 11}) == nullptr);
    BOOST_TEST(s.find({2, 10}) == nullptr, "the same number of another provider");
    s.remove(*a);
    BOOST_TEST(s.find({1, 10}) == nullptr);
    s.remove(*a);
}

BOOST_AUTO_TEST_CASE(held_are_those_with_a_grant_that_are_not_lost) {
    held_set s;
    const auto asked = lock_with({1, 1}), held = lock_with({1, 2}), lost = lock_with({1, 3});
    for (const auto& h : {asked, held, lost}) s.add(h);
    held->granted({}, rowlock::lock_mode::exclusive);
    lost->granted({}, rowlock::lock_mode::exclusive);
    lost->lose(rowlock::loss_reason::server, "", {nullptr, "b"});
    const auto all = s.held();
    BOOST_REQUIRE(all.size() == 1U);
    BOOST_TEST(all[0] == held);
}
