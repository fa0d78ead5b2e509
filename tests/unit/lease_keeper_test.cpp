// Renewal and the watch for losses, against a scripted back end.
#include <boost/test/unit_test.hpp>

#include <set>
#include <thread>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>

#include <support/eventually.hpp>
#include <support/fake_backend.hpp>
#include <support/gate.hpp>
#include <support/recorder.hpp>

using namespace std::chrono_literals;
using rowlock::boot_clock;
using rowlock::grant;
using rowlock::lock_request;
using rowlock::loss_reason;
using rowlock::renewal;
using rowlock::test::eventually;
using requests = std::span<const lock_request* const>;

namespace {

constexpr auto ttl = 200ms * rowlock::test::slowness;

struct fixture {
    std::shared_ptr<rowlock::test::fake_database> db = std::make_shared<rowlock::test::fake_database>();
    std::shared_ptr<rowlock::test::recorder> heard = std::make_shared<rowlock::test::recorder>();
    rowlock::provider locks{std::make_unique<rowlock::test::fake_backend>(db), with_lease()};

    rowlock::options with_lease() {
        db->lease = ttl;
        return {.ttl = ttl, .operation_timeout = 1s, .events = heard};
    }
    std::vector<renewal> all_held(requests held) const { return {held.size(), renewal{.expires_at = db->end()}}; }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(lease_keeper, fixture)

BOOST_AUTO_TEST_CASE(a_lease_is_renewed_for_as_long_as_it_is_held) {
    const auto held = locks.try_acquire("n");
    BOOST_REQUIRE(held);
    const auto end = boot_clock::now() + 3 * ttl;
    BOOST_TEST(db->asked("renew", 6));
    BOOST_TEST(eventually([&] { return boot_clock::now() > end; }));
    BOOST_TEST(!held->lost().stop_requested(), "three times its time to live");
    BOOST_TEST((held->valid_until() > std::chrono::steady_clock::now()));
    BOOST_TEST(heard->heard("renewed"));
}

BOOST_AUTO_TEST_CASE(no_more_often_than_every_third_of_the_time_to_live) {
    const auto started = boot_clock::now();
    const auto held = locks.try_acquire("n");
    BOOST_TEST(db->asked("renew", 4));
    BOOST_TEST((boot_clock::now() - started >= 4 * (ttl / 3) - 1ms));
}

BOOST_AUTO_TEST_CASE(many_leases_are_one_call) {
    std::mutex m;
    std::set<std::size_t> sizes;
    db->on_renew = [&](requests held) {
        const std::lock_guard lock{m};
        sizes.insert(held.size());
        return all_held(held);
    };
    const rowlock::test::end_of_renewals end_of_renewals{*db};
    std::vector<rowlock::lock_handle> all;
    for (int i = 0; i < 1000; ++i) all.push_back(locks.try_acquire("n" + std::to_string(i)).value());
    BOOST_TEST(eventually([&] {
        const std::lock_guard lock{m};
        return sizes.contains(1000);
    }));
}

BOOST_AUTO_TEST_CASE(what_was_released_is_not_renewed_any_more) {
    std::atomic<int> wrong{0};
    db->on_renew = [&](requests held) {
        for (const auto* r : held) wrong += r->name != "m";
        return all_held(held);
    };
    const rowlock::test::end_of_renewals end_of_renewals{*db};
    { const auto held = locks.try_acquire("n"); }
    const auto other = locks.try_acquire("m");
    BOOST_TEST(db->asked("renew", 2));
    BOOST_TEST(wrong == 0);
}

BOOST_AUTO_TEST_CASE(one_failure_does_not_end_renewing) {
    std::atomic<int> nth{0};
    db->on_renew = [&](requests held) {
        if (++nth <= 2) throw rowlock::connection_error{"hiccup"};
        return all_held(held);
    };
    const rowlock::test::end_of_renewals end_of_renewals{*db};
    const auto held = locks.try_acquire("n");
    BOOST_TEST(heard->heard("renewed"));
    BOOST_TEST(heard->count("renewal_failed") == 2);
    BOOST_TEST(!held->lost().stop_requested(), "a failure is tried again at once, not a third later");
    for (const auto& e : heard->all())
        if (e.what == "renewal_failed") BOOST_TEST(e.detail == "hiccup");
}

BOOST_AUTO_TEST_CASE(what_is_no_exception_of_the_library_does_not_end_renewing_either) {
    std::atomic<int> nth{0};
    db->on_renew = [&](requests held) -> std::vector<renewal> {
        switch (++nth) {
            case 1:
                throw std::bad_alloc{};
            case 2:
                throw 42;
            case 3:
                return {};  // an answer too few
            default:
                return all_held(held);
        }
    };
    const rowlock::test::end_of_renewals end_of_renewals{*db};
    const auto held = locks.try_acquire("n");
    BOOST_TEST(heard->heard("renewed"));
    BOOST_TEST(heard->count("renewal_failed") == 3);
    BOOST_TEST(!held->lost().stop_requested());
}

BOOST_AUTO_TEST_CASE(only_the_lease_that_is_gone_is_lost) {
    db->on_renew = [&](requests held) {
        std::vector<renewal> answers;
        for (const auto* r : held)
            answers.push_back(r->name == "gone" ? renewal{.held = false, .reason = loss_reason::server, .detail = "row"}
                                                : renewal{.expires_at = db->end()});
        return answers;
    };
    const auto stays = locks.try_acquire("stays");
    const auto gone = locks.try_acquire("gone");
    BOOST_TEST(heard->heard("lost"));
    BOOST_TEST(gone->lost().stop_requested());
    BOOST_TEST((gone->lost_reason() == loss_reason::server));
    BOOST_TEST(gone->lost_detail() == "row");
    const auto renewed = heard->count("renewed");
    BOOST_TEST(heard->heard("renewed", renewed + 2));
    BOOST_TEST(!stays->lost().stop_requested());
}

BOOST_AUTO_TEST_CASE(a_lost_lease_is_neither_renewed_nor_brought_back) {
    std::atomic<int> nth{0}, wrong{0};
    db->on_renew = [&](requests held) {
        if (++nth == 1) return std::vector<renewal>(held.size(), {.held = false});
        for (const auto* r : held) wrong += r->name == "gone";
        return all_held(held);
    };
    const rowlock::test::end_of_renewals end_of_renewals{*db};
    const auto gone = locks.try_acquire("gone");
    BOOST_TEST(heard->heard("lost"));
    const auto other = locks.try_acquire("other");
    BOOST_TEST(heard->heard("renewed", 2));
    BOOST_TEST(wrong == 0);
    BOOST_TEST(gone->lost().stop_requested());
    BOOST_TEST((gone->valid_until() <= std::chrono::steady_clock::now()));
    BOOST_TEST(heard->count("lost") == 1);
}

BOOST_AUTO_TEST_CASE(the_loss_is_told_before_the_lease_ends_even_when_renewing_hangs) {
    rowlock::test::gate hang;
    db->on_renew = [&](requests held) {
        hang.pass();
        return all_held(held);
    };
    const rowlock::test::end_of_renewals end_of_renewals{*db};
    boot_clock::time_point end;
    db->on_try = [&](const lock_request&) {
        const auto g = db->granted();
        end = *g.expires_at;
        return g;
    };
    const auto held = locks.try_acquire("n");
    rowlock::test::gate fired;
    boot_clock::time_point at;
    const std::stop_callback on_loss{held->lost(), [&] {
                                         at = boot_clock::now();
                                         fired.open();
                                     }};
    BOOST_TEST(fired.pass());
    BOOST_TEST((at < end), "late by " << (at - end).count() << " ns");
    BOOST_TEST((held->lost_reason() == loss_reason::expired));
    hang.open();  // a renewal that comes through after all
    BOOST_TEST(hang.reached_by());
    const auto other = locks.try_acquire("m");
    BOOST_TEST(heard->heard("renewed"));
    BOOST_TEST(held->lost().stop_requested());
    BOOST_TEST((held->valid_until() <= std::chrono::steady_clock::now()));
}

BOOST_AUTO_TEST_CASE(the_holder_that_looks_late_is_told_by_its_own_look) {
    // Both threads of the library are kept busy, as they are when the process has been paused: the handle looks itself.
    rowlock::test::gate hang;
    struct slow final : rowlock::observer {
        explicit slow(rowlock::test::gate& g) : gate{g} {}
        void lost(const rowlock::lock_event&) override { gate.pass(); }
        rowlock::test::gate& gate;
    };
    const auto fake = std::make_shared<rowlock::test::fake_database>();
    fake->lease = ttl;
    fake->on_renew = [&](requests held) -> std::vector<renewal> {
        hang.pass();
        return {held.size(), renewal{.expires_at = boot_clock::now() + 1h}};
    };
    rowlock::provider paused{std::make_unique<rowlock::test::fake_backend>(fake),
                             {.ttl = ttl, .events = std::make_shared<slow>(hang)}};
    const auto first = paused.try_acquire("first");
    fake->listener->on_loss(first->request().id, loss_reason::server, "");  // and the watch hangs in its observer
    BOOST_TEST(hang.reached_by());
    const auto held = paused.try_acquire("n");
    const auto until = held->valid_until();
    BOOST_TEST(eventually([&] { return std::chrono::steady_clock::now() > until; }));
    hang.open();
    BOOST_TEST(held->lost().stop_requested());
    BOOST_TEST((held->lost_reason() == loss_reason::expired));
}

BOOST_AUTO_TEST_CASE(a_renewal_that_races_a_release_changes_nothing) {
    rowlock::test::gate renewing, released;
    db->on_renew = [&](requests held) {
        renewing.open();
        released.pass();
        return all_held(held);
    };
    const rowlock::test::end_of_renewals end_of_renewals{*db};
    auto held = locks.try_acquire("n").value();
    BOOST_TEST(renewing.pass());
    held.release();
    released.open();
    auto other = locks.try_acquire("m").value();
    BOOST_TEST(db->asked("renew", 2));
    BOOST_TEST(heard->heard("renewed", 2));
    BOOST_TEST(!held.lost().stop_requested());
    BOOST_TEST((held.valid_until() <= std::chrono::steady_clock::now()));
    BOOST_TEST(heard->count("lost") == 0);
}

BOOST_AUTO_TEST_CASE(a_renewal_that_answers_gone_after_a_release_is_no_loss) {
    rowlock::test::gate renewing, released;
    db->on_renew = [&](requests held) {
        renewing.open();
        released.pass();
        return std::vector<renewal>(held.size(), {.held = false});
    };
    const rowlock::test::end_of_renewals end_of_renewals{*db};
    auto held = locks.try_acquire("n").value();
    BOOST_TEST(renewing.pass());
    held.release();
    released.open();
    const auto other = locks.try_acquire("m");
    BOOST_TEST(heard->heard("lost"));  // of m
    BOOST_TEST(heard->count("lost") == 1);
    BOOST_TEST(!held.lost().stop_requested());
}

BOOST_AUTO_TEST_CASE(doubt_makes_it_renew_at_once) {
    const auto db2 = std::make_shared<rowlock::test::fake_database>();
    rowlock::provider slow{std::make_unique<rowlock::test::fake_backend>(db2), {.ttl = 1h}};
    const auto held = slow.try_acquire("n");
    BOOST_TEST(db2->count("renew") == 0);
    db2->listener->on_doubt();
    BOOST_TEST(db2->asked("renew"));
}

// Such as a break that is told while the answer with the grant is under way.
BOOST_AUTO_TEST_CASE(doubt_before_the_answer_makes_it_renew_when_that_is_there) {
    const auto db2 = std::make_shared<rowlock::test::fake_database>();
    db2->lease = 1h;
    rowlock::provider slow{std::make_unique<rowlock::test::fake_backend>(db2), {.ttl = 1h}};
    const auto first = slow.try_acquire("first");
    db2->on_try = [&](const lock_request&) {
        const auto g = db2->granted();
        db2->listener->on_doubt();
        BOOST_TEST(db2->asked("renew"), "of the first, as the second is not there yet");
        return g;
    };
    const auto second = slow.try_acquire("second");
    BOOST_TEST(db2->asked("renew", 2));
}

BOOST_AUTO_TEST_CASE(without_leases_nothing_is_renewed_and_losses_are_told) {
    const auto db2 = std::make_shared<rowlock::test::fake_database>();
    db2->traits.leases = false;
    rowlock::provider session{std::make_unique<rowlock::test::fake_backend>(db2), {.ttl = 50ms, .events = heard}};
    const auto held = session.try_acquire("n");
    BOOST_TEST((held->valid_until() == std::chrono::steady_clock::time_point::max()));
    const auto end = boot_clock::now() + 150ms;
    BOOST_TEST(eventually([&] { return boot_clock::now() > end; }));
    BOOST_TEST(db2->count("renew") == 0);
    BOOST_TEST(!held->lost().stop_requested());
    db2->listener->on_loss(held->request().id, loss_reason::connection, "closed");
    BOOST_TEST(heard->heard("lost"));
    BOOST_TEST((held->lost_reason() == loss_reason::connection));
}

BOOST_AUTO_TEST_CASE(an_observer_that_throws_does_not_end_renewing) {
    const auto db2 = std::make_shared<rowlock::test::fake_database>();
    std::atomic<int> nth{0};
    db2->lease = ttl;
    db2->on_renew = [&](requests held) -> std::vector<renewal> {
        if (++nth == 2) throw rowlock::connection_error{"hiccup"};
        return {held.size(), renewal{.expires_at = boot_clock::now() + ttl}};
    };
    rowlock::provider shouted{std::make_unique<rowlock::test::fake_backend>(db2),
                              {.ttl = ttl, .events = std::make_shared<rowlock::test::throwing_observer>()}};
    const auto held = shouted.try_acquire("n");
    BOOST_TEST(db2->asked("renew", 5));
    BOOST_TEST(!held->lost().stop_requested());
}

BOOST_AUTO_TEST_CASE(a_callback_of_a_loss_may_use_the_handle_and_end_it) {
    std::optional<rowlock::lock_handle> held = locks.try_acquire("n");
    rowlock::test::gate done;
    std::optional<loss_reason> reason;
    const std::stop_callback on_loss{held->lost(), [&] {
                                         reason = held->lost_reason();
                                         held.reset();
                                         done.open();
                                     }};
    db->listener->on_loss(held->request().id, loss_reason::broken, "");
    BOOST_TEST(done.pass());
    BOOST_TEST((reason == loss_reason::broken));
}

BOOST_AUTO_TEST_CASE(the_last_owner_of_a_provider_may_be_a_callback_of_its_own) {
    auto held = std::make_shared<std::optional<rowlock::lock_handle>>(locks.try_acquire("n"));
    const auto id = (*held)->request().id;
    rowlock::test::gate done;
    const std::weak_ptr<rowlock::test::fake_database> alive = db;
    const std::stop_callback on_loss{(*held)->lost(), [&, held]() mutable {
                                         held->reset();
                                         done.open();
                                     }};
    auto* listener = db->listener;
    locks = rowlock::provider{
        std::make_unique<rowlock::test::fake_backend>(std::make_shared<rowlock::test::fake_database>())};
    listener->on_loss(id, loss_reason::broken, "");
    BOOST_TEST(done.pass());
    BOOST_TEST(eventually([&] { return db.use_count() == 1; }), "the back end is gone, and nothing has hung");
}

BOOST_AUTO_TEST_CASE(ending_a_provider_waits_for_a_renewal_under_way) {
    rowlock::test::gate renewing;
    std::atomic<bool> over{false};
    const auto db2 = std::make_shared<rowlock::test::fake_database>();
    db2->on_renew = [&](requests held) -> std::vector<renewal> {
        renewing.pass();
        over = true;
        return {held.size(), renewal{.expires_at = boot_clock::now() + ttl}};
    };
    {
        rowlock::provider p{std::make_unique<rowlock::test::fake_backend>(db2), {.ttl = 60ms}};
        const auto held = p.try_acquire("n");
        BOOST_TEST(renewing.reached_by());
        renewing.open();
    }
    BOOST_TEST(over.load());
    BOOST_TEST(db2->listener == nullptr);
}

BOOST_AUTO_TEST_CASE(where_only_verifying_renews_no_thread_does) {
    const auto db2 = std::make_shared<rowlock::test::fake_database>();
    db2->traits.renewed_by_verify = true;
    db2->lease = ttl;
    rowlock::provider p{std::make_unique<rowlock::test::fake_backend>(db2), {.ttl = ttl}};
    const auto held = p.try_acquire("n"), left_alone = p.try_acquire("m");
    const auto end = boot_clock::now() + 3 * ttl;
    while (boot_clock::now() < end) {
        held->verify();
        std::this_thread::sleep_for(ttl / 20);
    }
    db2->listener->on_doubt();
    BOOST_TEST(!held->lost().stop_requested(), "three times its time to live");
    BOOST_TEST(left_alone->lost().stop_requested());
    BOOST_TEST((left_alone->lost_reason() == loss_reason::expired));
    BOOST_TEST(eventually([&] { return held->lost().stop_requested(); }), "verified no more");
    BOOST_TEST(db2->count("renew") == 0);
}

BOOST_AUTO_TEST_SUITE_END()
