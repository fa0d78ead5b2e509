// Several names in one question, as the engine puts it to a scripted back end that can take many at once.
#include <boost/test/unit_test.hpp>

#include <stdexcept>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>

#include <support/eventually.hpp>
#include <support/fake_backend.hpp>
#include <support/recorder.hpp>

using namespace std::chrono_literals;
using rowlock::lock_request;
using rowlock::several_grants;
using rowlock::test::eventually;

namespace {

struct fixture {
    std::shared_ptr<rowlock::test::fake_database> db = std::make_shared<rowlock::test::fake_database>();
    std::shared_ptr<rowlock::test::recorder> heard = std::make_shared<rowlock::test::recorder>();
    rowlock::provider locks{std::make_unique<rowlock::test::fake_backend_for_many>(db),
                            {.key_prefix = "app:", .owner = "me", .events = heard}};
    std::vector<lock_request> asked;

    fixture() {
        db->on_try_all = [this](auto all) { return grant(all); };
    }
    several_grants grant(std::span<const lock_request> all) {
        asked.assign(all.begin(), all.end());
        several_grants got;
        for (std::size_t i = 0; i < all.size(); ++i) got.all.push_back(db->granted(10 + i));
        return got;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(several, fixture)

BOOST_AUTO_TEST_CASE(all_are_asked_for_at_once_sorted_and_without_duplicates) {
    const auto all = locks.try_acquire_all({"c", "a", "b", "a"});
    BOOST_REQUIRE(all.has_value());
    BOOST_TEST(db->count("try all") == 1);
    BOOST_TEST(db->count("try") == 0);
    BOOST_REQUIRE(asked.size() == 3U);
    BOOST_REQUIRE(all->size() == 3U);
    const char* const names[] = {"a", "b", "c"};
    for (std::size_t i = 0; i < 3; ++i) {
        BOOST_TEST(asked[i].name == std::string{"app:"} + names[i]);
        BOOST_TEST(asked[i].owner == "me");
        BOOST_TEST((asked[i].mode == rowlock::lock_mode::exclusive));
        BOOST_TEST(!asked[i].queued);
        BOOST_TEST(all->at(i).name() == names[i]);
        BOOST_TEST((all->at(i).token() == rowlock::fencing_token{10 + i}));
        BOOST_TEST((all->at(i).valid_until() > std::chrono::steady_clock::now()));
    }
    BOOST_TEST((asked[0].id != asked[1].id));
    BOOST_TEST((heard->words() == std::vector<std::string>{"granted", "granted", "granted"}));
}

BOOST_AUTO_TEST_CASE(each_is_released_by_its_own_handle) {
    auto all = locks.try_acquire_all({"a", "b"}).value();
    all.erase(all.begin());
    BOOST_REQUIRE(db->count("release") == 1);
    BOOST_TEST((db->log().back().second == asked[0].id));
    BOOST_TEST((heard->words() == std::vector<std::string>{"granted", "granted", "released"}));
}

BOOST_AUTO_TEST_CASE(a_busy_one_is_told_by_its_name_and_nothing_is_released) {
    db->on_try_all = [](auto) { return several_grants{.busy = 1}; };
    BOOST_TEST(!locks.try_acquire_all({"a", "b", "c"}));
    BOOST_TEST(!locks.try_acquire_all({"a", "b", "c"}, 0s));
    BOOST_TEST(db->count("try") == 0);
    BOOST_TEST(db->count("release") == 0);
    BOOST_TEST((heard->words() == std::vector<std::string>{"busy", "busy"}));
    BOOST_TEST(heard->all().front().name == "app:b");
}

BOOST_AUTO_TEST_CASE(who_waits_goes_on_one_by_one_in_order) {
    db->on_try_all = [](auto) { return several_grants{.busy = 1}; };
    std::vector<std::string> names;
    db->on_try = [&](const lock_request& r) {
        names.push_back(r.name);
        BOOST_TEST(r.queued);
        return db->granted();
    };
    BOOST_TEST(locks.try_acquire_all({"b", "a"}, 5s).has_value());
    BOOST_TEST((names == std::vector<std::string>{"app:a", "app:b"}));
    BOOST_TEST(heard->count("busy") == 0);
    BOOST_TEST(heard->count("granted") == 2);
}

BOOST_AUTO_TEST_CASE(a_single_name_keeps_its_place_from_the_first_try_on) {
    (void)locks.try_acquire_all({"a"}, 5s);
    BOOST_TEST(db->count("try all") == 0);
    BOOST_TEST(db->count("try") == 1);
    BOOST_TEST(locks.try_acquire_all(std::vector<std::string>{}).value().empty());
    BOOST_TEST(db->count("try all") == 0);
}

BOOST_AUTO_TEST_CASE(a_stop_before_the_start_asks_nothing) {
    std::stop_source stop;
    stop.request_stop();
    BOOST_CHECK_THROW((void)locks.try_acquire_all({"a", "b"}, 5s, stop.get_token()), rowlock::cancelled);
    BOOST_TEST(db->log().empty());
    BOOST_TEST((heard->words() == std::vector<std::string>{"cancelled"}));
}

BOOST_AUTO_TEST_CASE(a_lost_answer_is_asked_for_again_with_the_same_ids) {
    std::vector<std::vector<rowlock::request_id>> questions;
    db->on_try_all = [&](auto all) {
        auto& ids = questions.emplace_back();
        for (const auto& r : all) ids.push_back(r.id);
        if (questions.size() == 1) throw rowlock::in_doubt_error{"no answer"};
        return grant(all);
    };
    BOOST_TEST(locks.try_acquire_all({"a", "b"}).has_value());
    BOOST_REQUIRE(questions.size() == 2U);
    BOOST_TEST((questions[0] == questions[1]));
}

BOOST_AUTO_TEST_CASE(a_doubt_that_stays_is_told_and_each_lock_is_given_back) {
    db->on_try_all = [&](auto all) -> several_grants {
        (void)grant(all);
        throw rowlock::in_doubt_error{"no answer"};
    };
    BOOST_CHECK_THROW((void)locks.try_acquire_all({"a", "b"}), rowlock::in_doubt_error);
    BOOST_TEST(db->count("try all") == 2);
    BOOST_TEST(db->asked("release", 2));
}

BOOST_AUTO_TEST_CASE(after_a_doubt_a_busy_answer_does_not_say_that_none_is_held) {
    db->on_try_all = [&](auto) -> several_grants {
        if (db->count("try all") == 1) throw rowlock::in_doubt_error{"no answer"};
        return {.busy = 0};
    };
    BOOST_TEST(!locks.try_acquire_all({"a", "b"}));
    BOOST_TEST(db->asked("release", 2));
}

BOOST_AUTO_TEST_CASE(an_error_leaves_nothing_behind) {
    db->on_try_all = [&](auto) -> several_grants { throw rowlock::connection_error{"gone"}; };
    BOOST_CHECK_THROW((void)locks.try_acquire_all({"a", "b"}, 5s), rowlock::connection_error);
    BOOST_TEST(db->count("try") == 0);
    BOOST_TEST(heard->all().empty());
}

BOOST_AUTO_TEST_CASE(a_back_end_that_answers_for_too_few_is_caught) {
    db->on_try_all = [&](auto all) { return grant(all.first(1)); };
    BOOST_CHECK_THROW((void)locks.try_acquire_all({"a", "b"}), std::logic_error);
}

BOOST_AUTO_TEST_CASE(a_loss_that_is_faster_than_its_grant_stays_a_loss) {
    db->on_try_all = [&](auto all) {
        db->listener->on_loss(all[1].id, rowlock::loss_reason::broken, "by hand");
        BOOST_TEST(heard->heard("lost"));
        return grant(all);
    };
    const auto all = locks.try_acquire_all({"a", "b"});
    BOOST_REQUIRE(all.has_value());
    BOOST_TEST(!all->at(0).lost().stop_requested());
    BOOST_TEST(all->at(1).lost().stop_requested());
    BOOST_TEST((all->at(1).lost_reason() == rowlock::loss_reason::broken));
}

BOOST_AUTO_TEST_SUITE_END()
