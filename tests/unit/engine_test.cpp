// Asking, waiting, giving up and being in doubt, against a scripted back end.
#include <boost/test/unit_test.hpp>

#include <stdexcept>
#include <thread>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>

#include <support/eventually.hpp>
#include <support/fake_backend.hpp>
#include <support/recorder.hpp>

using namespace std::chrono_literals;
using rowlock::grant;
using rowlock::lock_request;
using rowlock::wait_bound;
using rowlock::test::eventually;

namespace {

struct fixture {
    std::shared_ptr<rowlock::test::fake_database> db = std::make_shared<rowlock::test::fake_database>();
    std::shared_ptr<rowlock::test::recorder> heard = std::make_shared<rowlock::test::recorder>();
    rowlock::provider locks{std::make_unique<rowlock::test::fake_backend>(db),
                            {.key_prefix = "app:", .owner = "me", .events = heard}};

    // Which ids came with which question.
    std::vector<rowlock::request_id> ids(const std::string& what) const {
        std::vector<rowlock::request_id> found;
        for (const auto& [asked, id] : db->log())
            if (asked == what) found.push_back(id);
        return found;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(engine, fixture)

BOOST_AUTO_TEST_CASE(a_request_says_all_a_back_end_needs) {
    lock_request seen;
    db->on_try = [&](const lock_request& r) {
        seen = r;
        return db->granted();
    };
    (void)locks.try_acquire("n");
    BOOST_TEST(seen.name == "app:n");
    BOOST_TEST(seen.owner == "me");
    BOOST_TEST((seen.ttl == 30s));
    BOOST_TEST((seen.mode == rowlock::lock_mode::exclusive));
    BOOST_TEST(!seen.queued, "a single try takes no place in a queue");
    BOOST_TEST(!seen.upgrade);
    (void)locks.try_acquire("n", 1h);
    BOOST_TEST(seen.queued);
    (void)locks.try_acquire("n", 0s);
    BOOST_TEST(!seen.queued);
    (void)locks.try_acquire("n", -1h);
    BOOST_TEST(!seen.queued);
}

BOOST_AUTO_TEST_CASE(every_acquisition_has_an_id_of_its_own) {
    rowlock::provider second{std::make_unique<rowlock::test::fake_backend>(db)};
    (void)locks.try_acquire("n");
    (void)locks.try_acquire("n");
    (void)second.try_acquire("n");
    const auto all = ids("try");
    BOOST_REQUIRE(all.size() == 3U);
    BOOST_TEST((all[0] != all[1]));
    BOOST_TEST((all[0].provider == all[1].provider));
    BOOST_TEST((all[0].provider != all[2].provider), "two providers of one process are two");
}

BOOST_AUTO_TEST_CASE(a_busy_try_is_one_question) {
    db->on_try = [](const lock_request&) { return std::nullopt; };
    BOOST_TEST(!locks.try_acquire("n"));
    BOOST_TEST(db->log().size() == 1U);
    BOOST_TEST((heard->words() == std::vector<std::string>{"busy"}));
    BOOST_TEST(heard->all().at(0).name == "app:n");
    BOOST_TEST(heard->all().at(0).backend == "fake");
}

BOOST_AUTO_TEST_CASE(a_lost_answer_is_asked_for_again_with_the_same_id) {
    int nth = 0;
    db->on_try = [&](const lock_request&) -> std::optional<grant> {
        if (++nth == 1) throw rowlock::in_doubt_error{"no answer"};
        return db->granted(7);
    };
    const auto held = locks.try_acquire("n");
    BOOST_REQUIRE(held.has_value());
    BOOST_TEST((held->token() == rowlock::fencing_token{7}));
    const auto all = ids("try");
    BOOST_REQUIRE(all.size() == 2U);
    BOOST_TEST((all[0] == all[1]));
}

BOOST_AUTO_TEST_CASE(doubt_that_stays_is_said_and_the_lock_is_given_back) {
    db->on_try = [](const lock_request&) -> std::optional<grant> { throw rowlock::in_doubt_error{"no answer"}; };
    BOOST_CHECK_THROW((void)locks.try_acquire("n"), rowlock::in_doubt_error);
    BOOST_TEST(db->asked("release"));
    BOOST_TEST((ids("release").at(0) == ids("try").at(0)));
}

BOOST_AUTO_TEST_CASE(doubt_followed_by_another_failure_is_still_doubt) {
    int nth = 0;
    db->on_try = [&](const lock_request&) -> std::optional<grant> {
        if (++nth == 1) throw rowlock::in_doubt_error{"no answer"};
        throw rowlock::connection_error{"and now nobody is there"};
    };
    BOOST_CHECK_THROW((void)locks.try_acquire("n"), rowlock::in_doubt_error);
    BOOST_TEST(db->asked("release"), "the lock that may have been granted is given back");
}

BOOST_AUTO_TEST_CASE(a_release_that_is_owed_is_tried_until_it_succeeds) {
    std::atomic<int> nth{0};
    db->on_try = [](const lock_request&) -> std::optional<grant> { throw rowlock::in_doubt_error{"no answer"}; };
    db->on_release = [&](const lock_request&) {
        if (++nth < 3) throw rowlock::connection_error{"still away"};
    };
    rowlock::provider quick{std::make_unique<rowlock::test::fake_backend>(db), {.ttl = 10s}};
    BOOST_CHECK_THROW((void)quick.try_acquire("n"), rowlock::in_doubt_error);
    BOOST_TEST(db->asked("release", 3));
}

BOOST_AUTO_TEST_CASE(what_is_owed_is_forgotten_when_the_lease_must_be_over) {
    db->on_try = [](const lock_request&) -> std::optional<grant> { throw rowlock::in_doubt_error{"no answer"}; };
    std::atomic<int> nth{0};
    db->on_release = [&](const lock_request&) {
        ++nth;
        throw rowlock::connection_error{"away for ever"};
    };
    rowlock::provider quick{std::make_unique<rowlock::test::fake_backend>(db), {.ttl = 60ms}};
    BOOST_CHECK_THROW((void)quick.try_acquire("n"), rowlock::in_doubt_error);
    // Asked at least twice, then silence: no more for several times the pause between two of them.
    BOOST_TEST(db->asked("release", 2));
    int before = -1;
    BOOST_TEST(eventually([&] {
        const int now = db->count("release");
        std::this_thread::sleep_for(40ms);
        return std::exchange(before, now) == now;
    }));
}

BOOST_AUTO_TEST_CASE(a_failure_while_queued_gives_the_place_back) {
    db->on_try = [](const lock_request&) { return std::nullopt; };
    db->on_await = [](const lock_request&, const wait_bound&) -> std::optional<grant> {
        throw rowlock::connection_error{"gone"};
    };
    BOOST_CHECK_THROW((void)locks.try_acquire("n", 1h), rowlock::connection_error);
    BOOST_TEST(db->asked("abandon"));
    BOOST_TEST(db->asked("release"));
}

BOOST_AUTO_TEST_CASE(a_foreign_exception_while_queued_gives_the_place_back_too) {
    db->on_try = [](const lock_request&) { return std::nullopt; };
    db->on_await = [](const lock_request&, const wait_bound&) -> std::optional<grant> {
        throw std::runtime_error{"a back end that throws what it should not"};
    };
    BOOST_CHECK_THROW((void)locks.try_acquire("n", 1h), std::runtime_error);
    BOOST_TEST(db->asked("abandon"));
}

BOOST_AUTO_TEST_CASE(a_failure_of_a_single_try_owes_nothing) {
    db->on_try = [](const lock_request&) -> std::optional<grant> { throw rowlock::connection_error{"gone"}; };
    BOOST_CHECK_THROW((void)locks.try_acquire("n"), rowlock::connection_error);
    BOOST_TEST(db->count("release") == 0);
    BOOST_TEST(heard->all().empty(), "an error is neither busy nor granted");
}

BOOST_AUTO_TEST_CASE(a_timed_out_wait_leaves_the_queue) {
    db->on_try = [](const lock_request&) { return std::nullopt; };
    BOOST_TEST(!locks.try_acquire("n", 5ms));
    BOOST_TEST(db->count("abandon") == 1);
    BOOST_TEST((heard->words() == std::vector<std::string>{"timed_out"}));
    BOOST_TEST((heard->all().at(0).duration >= 5ms));
}

BOOST_AUTO_TEST_CASE(a_grant_that_came_with_the_timeout_is_kept) {
    db->on_try = [](const lock_request&) { return std::nullopt; };
    db->on_abandon = [&](const lock_request&) { return db->granted(9); };
    const auto held = locks.try_acquire("n", 2ms);
    BOOST_REQUIRE(held.has_value());
    BOOST_TEST((held->token() == rowlock::fencing_token{9}));
    BOOST_TEST((heard->words() == std::vector<std::string>{"granted"}));
}

BOOST_AUTO_TEST_CASE(a_grant_that_came_with_the_cancellation_is_kept) {
    std::stop_source stop;
    db->on_try = [](const lock_request&) { return std::nullopt; };
    db->on_await = [&](const lock_request&, const wait_bound&) {
        stop.request_stop();
        return std::nullopt;
    };
    db->on_abandon = [&](const lock_request&) { return db->granted(9); };
    BOOST_TEST(locks.try_acquire("n", 1h, stop.get_token()).has_value());
}

BOOST_AUTO_TEST_CASE(cancelled_before_the_first_question_asks_nothing) {
    std::stop_source stop;
    stop.request_stop();
    BOOST_CHECK_THROW((void)locks.try_acquire("n", 0s, stop.get_token()), rowlock::cancelled);
    BOOST_CHECK_THROW((void)locks.acquire("n", stop.get_token()), rowlock::cancelled);
    BOOST_TEST(db->log().empty());
    BOOST_TEST((heard->words() == std::vector<std::string>{"cancelled", "cancelled"}));
}

BOOST_AUTO_TEST_CASE(cancelled_while_waiting_leaves_the_queue) {
    std::stop_source stop;
    db->on_try = [](const lock_request&) { return std::nullopt; };
    db->on_await = [&](const lock_request&, const wait_bound&) {
        stop.request_stop();
        return std::nullopt;
    };
    BOOST_CHECK_EXCEPTION((void)locks.acquire("n", stop.get_token()), rowlock::cancelled,
                          [](const rowlock::error& e) { return e.lock_name() == "app:n" && e.backend() == "fake"; });
    BOOST_TEST(db->count("abandon") == 1);
    BOOST_TEST((heard->words() == std::vector<std::string>{"cancelled"}));
}

BOOST_AUTO_TEST_CASE(waiting_goes_on_when_a_back_end_wakes_for_nothing) {
    int nth = 0;
    db->on_try = [](const lock_request&) { return std::nullopt; };
    db->on_await = [&](const lock_request&, const wait_bound&) {
        return ++nth < 1000 ? std::nullopt : std::optional{db->granted()};
    };
    BOOST_TEST(locks.acquire("n").token().has_value());
}

BOOST_AUTO_TEST_CASE(a_release_that_fails_throws_is_told_and_tried_again) {
    auto held = locks.try_acquire("n").value();
    std::atomic<int> nth{0};
    db->on_release = [&](const lock_request&) {
        if (++nth == 1) throw rowlock::connection_error{"cable pulled"};
    };
    BOOST_CHECK_THROW(held.release(), rowlock::connection_error);
    BOOST_TEST(heard->count("release_failed") == 1);
    BOOST_TEST(heard->all().back().detail == "cable pulled");
    BOOST_TEST(db->asked("release", 2));
    BOOST_CHECK_NO_THROW(held.release());
}

BOOST_AUTO_TEST_CASE(a_destructor_that_cannot_release_does_not_throw_but_tells) {
    std::atomic<int> nth{0};
    db->on_release = [&](const lock_request&) {
        if (++nth == 1) throw rowlock::connection_error{"cable pulled"};
    };
    { auto held = locks.try_acquire("n"); }
    BOOST_TEST(heard->count("release_failed") == 1);
    BOOST_TEST(db->asked("release", 2));
}

BOOST_AUTO_TEST_CASE(a_loss_that_overtakes_its_grant_is_heard) {
    db->on_try = [&](const lock_request& r) {
        db->listener->on_loss(r.id, rowlock::loss_reason::connection, "socket closed");
        return db->granted();
    };
    auto held = locks.try_acquire("n").value();
    BOOST_TEST(heard->heard("lost"));
    BOOST_TEST(eventually([&] { return held.lost().stop_requested(); }));
    BOOST_TEST((held.lost_reason() == rowlock::loss_reason::connection));
    BOOST_TEST(held.lost_detail() == "socket closed");
    BOOST_TEST((held.valid_until() <= std::chrono::steady_clock::now()));
}

BOOST_AUTO_TEST_CASE(a_loss_of_somebody_elses_lock_touches_nobody) {
    auto held = locks.try_acquire("n").value();
    auto id = held.request().id;
    ++id.provider;
    db->listener->on_loss(id, rowlock::loss_reason::broken, "");
    id.provider--;
    id.number += 1000;
    db->listener->on_loss(id, rowlock::loss_reason::broken, "");
    auto other = locks.try_acquire("m").value();
    db->listener->on_loss(other.request().id, rowlock::loss_reason::broken, "");
    BOOST_TEST(heard->heard("lost"));
    BOOST_TEST(!held.lost().stop_requested());
}

BOOST_AUTO_TEST_CASE(verify_that_says_no_is_a_loss) {
    auto held = locks.try_acquire("n").value();
    db->on_verify = [](const lock_request&) {
        return rowlock::renewal{.held = false, .reason = rowlock::loss_reason::broken, .detail = "by hand"};
    };
    BOOST_CHECK_EXCEPTION(held.verify(), rowlock::lock_lost, [](const rowlock::lock_lost& e) {
        return e.lock_name() == "app:n" && std::string_view{e.what()}.find("by hand") != std::string_view::npos;
    });
    BOOST_TEST(held.lost().stop_requested());
    BOOST_TEST((held.lost_reason() == rowlock::loss_reason::broken));
    BOOST_CHECK_THROW(held.verify(), rowlock::lock_lost);
    BOOST_TEST(db->count("verify") == 1, "what is known to be lost is not asked for again");
}

BOOST_AUTO_TEST_CASE(verify_that_could_not_ask_is_no_loss) {
    auto held = locks.try_acquire("n").value();
    db->on_verify = [](const lock_request&) -> rowlock::renewal { throw rowlock::connection_error{"away"}; };
    BOOST_CHECK_THROW(held.verify(), rowlock::connection_error);
    BOOST_TEST(!held.lost().stop_requested());
}

BOOST_AUTO_TEST_CASE(a_list_of_names_is_taken_sorted_and_once) {
    std::vector<std::string> asked;
    db->on_try = [&](const lock_request& r) {
        asked.push_back(r.name);
        return db->granted();
    };
    const auto all = locks.try_acquire_all({"c", "a", "b", "a"});
    BOOST_REQUIRE(all.has_value());
    BOOST_TEST((asked == std::vector<std::string>{"app:a", "app:b", "app:c"}));
    BOOST_REQUIRE(all->size() == 3U);
    BOOST_TEST(all->at(1).name() == "b");
}

BOOST_AUTO_TEST_CASE(a_list_with_a_busy_name_gives_back_what_it_took) {
    db->on_try = [&](const lock_request& r) { return r.name == "app:b" ? std::nullopt : std::optional{db->granted()}; };
    BOOST_TEST(!locks.try_acquire_all({"c", "b", "a"}));
    BOOST_TEST(db->count("try") == 2, "what comes behind the busy one is not asked for");
    BOOST_TEST(db->count("release") == 1);
}

BOOST_AUTO_TEST_CASE(a_list_with_a_bad_name_takes_nothing) {
    BOOST_CHECK_THROW((void)locks.try_acquire_all({"a", "", "b"}), std::invalid_argument);
    BOOST_CHECK_THROW((void)locks.try_acquire_all({"a", "\xFF"}), std::invalid_argument);
    BOOST_TEST(db->log().empty());
}

BOOST_AUTO_TEST_CASE(a_list_whose_last_name_fails_gives_back_what_it_took) {
    db->on_try = [&](const lock_request& r) -> std::optional<grant> {
        if (r.name == "app:b") throw rowlock::connection_error{"gone"};
        return db->granted();
    };
    BOOST_CHECK_THROW((void)locks.try_acquire_all({"a", "b"}), rowlock::connection_error);
    BOOST_TEST(db->count("release") == 1);
}

BOOST_AUTO_TEST_SUITE_END()
