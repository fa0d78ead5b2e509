#include <boost/test/unit_test.hpp>

#include <memory>
#include <thread>

#include <held_lock.hpp>

#include <support/recorder.hpp>

using namespace std::chrono_literals;
using rowlock::boot_clock;
using rowlock::fencing_token;
using rowlock::grant;
using rowlock::lock_mode;
using rowlock::loss_reason;
using rowlock::detail::event_sink;
using rowlock::detail::held_lock;
using phase = held_lock::phase;

namespace {

constexpr auto never = boot_clock::time_point::max();

struct fixture {
    std::shared_ptr<rowlock::test::recorder> heard = std::make_shared<rowlock::test::recorder>();
    event_sink events{heard, "b"};
    held_lock h{{.name = "app:n", .mode = lock_mode::upgrade, .id = {7, 8}, .ttl = 1000ms}, 4};

    void check_phase(phase expected) { BOOST_TEST((h.now() == expected)); }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(states, fixture)

BOOST_AUTO_TEST_CASE(it_starts_by_asking) {
    check_phase(phase::asked);
    BOOST_TEST(h.full_name() == "app:n");
    BOOST_TEST(h.short_name() == "n");
    BOOST_TEST((h.id() == rowlock::request_id{7, 8}));
    BOOST_TEST(!h.token());
    BOOST_TEST(!h.reason());
    BOOST_TEST(!h.lost().stop_requested());
}

BOOST_AUTO_TEST_CASE(a_grant_makes_it_held) {
    const auto end = boot_clock::now() + 1s;
    h.granted({fencing_token{5}, end}, lock_mode::exclusive);
    check_phase(phase::held);
    BOOST_TEST((h.token() == fencing_token{5}));
    BOOST_TEST((h.request().mode == lock_mode::exclusive));
    BOOST_TEST((h.usable_until() == end - 50ms), "a twentieth of the time to live is kept back");
}

BOOST_AUTO_TEST_CASE(a_grant_without_an_end_is_usable_for_ever) {
    h.granted({}, lock_mode::exclusive);
    BOOST_TEST((h.usable_until() == never));
    h.lose_if_expired(boot_clock::now() + 1000h, events);
    check_phase(phase::held);
}

BOOST_AUTO_TEST_CASE(a_loss_fires_and_is_final) {
    h.granted({fencing_token{1}, boot_clock::now() + 1s}, lock_mode::upgrade);
    bool fired = false;
    const std::stop_callback on_loss{h.lost(), [&] { fired = true; }};
    h.lose(loss_reason::broken, "the reason", events);
    BOOST_TEST(fired, "in the thread that told");
    check_phase(phase::lost);
    BOOST_TEST((h.reason() == loss_reason::broken));
    BOOST_TEST(h.detail() == "the reason");
    BOOST_TEST((h.usable_until() <= boot_clock::now()));

    h.lose(loss_reason::expired, "too late", events);
    h.extended(boot_clock::now() + 1h);
    BOOST_TEST((h.reason() == loss_reason::broken));
    BOOST_TEST((h.usable_until() <= boot_clock::now()), "a late renewal brings nothing back");
    check_phase(phase::lost);
    const auto all = heard->all();
    BOOST_REQUIRE(all.size() == 1U);
    BOOST_TEST(all[0].what == "lost");
    BOOST_TEST(all[0].name == "app:n");
    BOOST_TEST(all[0].detail == "the reason");
    BOOST_TEST((all[0].reason == loss_reason::broken));
    BOOST_TEST((all[0].token == fencing_token{1}));
}

BOOST_AUTO_TEST_CASE(a_loss_that_is_faster_than_the_answer_stays_a_loss) {
    h.lose(loss_reason::server, "d", events);
    h.granted({fencing_token{2}, boot_clock::now() + 1s}, lock_mode::exclusive);
    check_phase(phase::lost);
    BOOST_TEST(h.lost().stop_requested());
    BOOST_TEST((h.usable_until() <= boot_clock::now()), "what is lost is not usable, whatever the grant said");
}

BOOST_AUTO_TEST_CASE(it_expires_at_its_time_and_not_before) {
    const auto end = boot_clock::now() + 1s;
    h.granted({fencing_token{1}, end}, lock_mode::exclusive);
    h.lose_if_expired(end - 51ms, events);
    check_phase(phase::held);
    h.lose_if_expired(end - 50ms, events);
    check_phase(phase::lost);
    BOOST_TEST((h.reason() == loss_reason::expired));
}

BOOST_AUTO_TEST_CASE(a_renewal_moves_the_end) {
    const auto now = boot_clock::now();
    h.granted({fencing_token{1}, now + 1s}, lock_mode::exclusive);
    h.extended(now + 3s);
    h.lose_if_expired(now + 2s, events);
    check_phase(phase::held);
    h.lose_if_expired(now + 3s, events);
    check_phase(phase::lost);
}

BOOST_AUTO_TEST_CASE(released_is_final_and_tells_what_was_before) {
    h.granted({fencing_token{1}, boot_clock::now() + 1s}, lock_mode::exclusive);
    BOOST_TEST((h.release() == phase::held));
    BOOST_TEST((h.release() == phase::released));
    h.lose(loss_reason::expired, "", events);
    h.granted({fencing_token{9}, boot_clock::now() + 1s}, lock_mode::exclusive);
    check_phase(phase::released);
    BOOST_TEST(!h.lost().stop_requested());
    BOOST_TEST((h.token() == fencing_token{1}));
    BOOST_TEST(heard->all().empty());
}

BOOST_AUTO_TEST_CASE(what_is_released_is_not_usable) {
    h.granted({fencing_token{1}, boot_clock::now() + 1h}, lock_mode::exclusive);
    (void)h.release();
    BOOST_TEST((h.usable_until() <= boot_clock::now()));
    h.extended(boot_clock::now() + 1h);
    BOOST_TEST((h.usable_until() <= boot_clock::now()));
}

BOOST_AUTO_TEST_CASE(release_of_a_lost_lock_says_so) {
    h.granted({}, lock_mode::exclusive);
    h.lose(loss_reason::connection, "", events);
    BOOST_TEST((h.release() == phase::lost));
    BOOST_TEST((h.reason() == loss_reason::connection), "why is still told afterwards");
}

BOOST_AUTO_TEST_CASE(an_upgrade_changes_mode_and_token) {
    h.granted({fencing_token{1}, boot_clock::now() + 1s}, lock_mode::upgrade);
    h.granted({fencing_token{2}, boot_clock::now() + 2s}, lock_mode::exclusive);
    BOOST_TEST((h.token() == fencing_token{2}));
    BOOST_TEST((h.request().mode == lock_mode::exclusive));
    check_phase(phase::held);
}

BOOST_AUTO_TEST_CASE(events_carry_how_long_it_was_held) {
    BOOST_TEST((h.event().duration == 0ns));
    h.granted({fencing_token{3}, never}, lock_mode::shared);
    const auto e = h.event();
    BOOST_TEST(e.name == "app:n");
    BOOST_TEST((e.mode == lock_mode::shared));
    BOOST_TEST((e.token == fencing_token{3}));
    BOOST_TEST((e.duration >= 0ns));
    BOOST_TEST((h.event().duration >= e.duration));
}

BOOST_AUTO_TEST_CASE(losing_and_releasing_at_once_end_in_one_of_the_two) {
    for (int i = 0; i < 2000; ++i) {
        const auto both = std::make_shared<held_lock>(rowlock::lock_request{.name = "n", .ttl = 1s}, 0);
        both->granted({}, lock_mode::exclusive);
        std::atomic<int> go{0};
        std::jthread loser{[&] {
            ++go;
            while (go < 2) {
            }
            both->lose(loss_reason::server, "x", events);
        }};
        ++go;
        while (go < 2) {
        }
        const auto before = both->release();
        loser.join();
        BOOST_REQUIRE((both->now() == phase::released));
        BOOST_REQUIRE(both->lost().stop_requested() == (before == phase::lost));
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(the_margin_is_bounded_on_both_sides) {
    const auto margin = [](std::chrono::milliseconds ttl) {
        held_lock h{{.name = "n", .ttl = ttl}, 0};
        const auto end = boot_clock::now() + ttl;
        h.granted({std::nullopt, end}, lock_mode::exclusive);
        return end - h.usable_until();
    };
    BOOST_TEST((margin(50ms) == 2ms));
    BOOST_TEST((margin(1s) == 50ms));
    BOOST_TEST((margin(1h) == 1s));
}
