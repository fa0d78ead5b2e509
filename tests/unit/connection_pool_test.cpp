#include <boost/test/unit_test.hpp>

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#include <connection_pool.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/gate.hpp>

using namespace std::chrono_literals;
using rowlock::deadline;
using rowlock::wait_bound;
using rowlock::test::eventually;
using rowlock::test::gate;
using rowlock::test::in_background;
using rowlock::test::patience;
using rowlock::test::slack;
using rowlock::test::throws;

namespace {

struct fake_session {
    [[nodiscard]] bool usable() const { return !broken; }
    [[nodiscard]] static std::string last_words() { return "it broke"; }

    std::atomic<bool> broken{false};
};

using pool_of_fakes = rowlock::detail::connection_pool<fake_session>;
using member = pool_of_fakes::member;

struct fixture {
    std::atomic<int> opened{0};
    std::atomic<int> told_to_stop{0};
    std::atomic<bool> fails{false};
    std::atomic<bool> is_slow{false};
    gate connecting;
    pool_of_fakes pool{[this](std::uint64_t id, const wait_bound& w) {
                           if (is_slow) connect_slowly(w);
                           if (fails) throw rowlock::connection_error{"too many clients"};
                           ++opened;
                           return std::make_shared<member>(id);
                       },
                       "a server", "fake", [](member&, const std::string&) {}};

    static deadline soon() { return deadline::after(patience); }
    static wait_bound waiting(std::chrono::milliseconds t, std::stop_token stop = {}) {
        return {deadline::after(t), std::move(stop)};
    }

private:
    void connect_slowly(const wait_bound& w) {
        const std::stop_callback on_stop{w.stop, [this] {
                                             ++told_to_stop;
                                             connecting.open();
                                         }};
        (void)connecting.pass();
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(on_pool, fixture)

BOOST_AUTO_TEST_CASE(one_connection_serves_who_comes_one_after_the_other) {
    for (int i = 0; i < 10; ++i) {
        const auto here = pool.any(soon());
        BOOST_TEST(pool.size() == 1U);
    }
    BOOST_TEST(opened == 1);
}

BOOST_AUTO_TEST_CASE(a_wait_gets_another_one_than_what_holds_locks) {
    const auto holder = [&] {
        const auto here = pool.any(soon());
        here.who()->locks = 1;
        return here.who();
    }();
    const auto waits = pool.without_locks(waiting(patience), patience);
    BOOST_REQUIRE(waits);
    BOOST_TEST(waits->who() != holder);
    BOOST_TEST(opened == 2);
}

BOOST_AUTO_TEST_CASE(a_wait_gets_another_one_than_what_is_kept_while_others_hold_locks) {
    const auto kept = [&] {
        const auto here = pool.any(soon());
        here.who()->kept = true;
        return here.who();
    }();
    BOOST_TEST(pool.has_spare(), "nobody holds any");
    const auto holder = [&] {
        const auto first = pool.any(soon());
        const auto second = pool.without_locks(waiting(patience), patience);
        second->who()->locks = 1;
        return second->who();
    }();
    BOOST_TEST(!pool.has_spare());
    const auto waits = pool.without_locks(waiting(patience), patience);
    BOOST_REQUIRE(waits);
    BOOST_TEST(waits->who() != kept);
    BOOST_TEST(waits->who() != holder);
}

BOOST_AUTO_TEST_CASE(what_is_kept_is_not_closed_as_surplus) {
    const auto listening = [&] {
        const auto here = pool.any(soon());
        here.who()->kept = true;
        return here.who();
    }();
    {
        std::vector<pool_of_fakes::use> many;
        for (int i = 0; i < 10; ++i) many.push_back(*pool.without_locks(waiting(patience), patience));
    }
    (void)pool.that(listening, soon());
    BOOST_TEST(pool.size() < 8U, "the control: others are");
    BOOST_TEST(!listening->gone);
}

BOOST_AUTO_TEST_CASE(who_needs_an_open_one_opens_none) {
    BOOST_TEST(!pool.any_open(soon()));
    BOOST_TEST(opened == 0);
    (void)pool.any(soon());
    BOOST_TEST(pool.any_open(soon()).has_value());
    BOOST_TEST(opened == 1);
}

BOOST_AUTO_TEST_CASE(a_wait_is_over_while_its_connection_is_opened) {
    is_slow = true;
    const auto from = std::chrono::steady_clock::now();
    BOOST_TEST(!pool.without_locks(waiting(50ms), patience));
    const auto took = std::chrono::steady_clock::now() - from;
    BOOST_TEST((took >= 50ms));
    BOOST_TEST((took < 50ms + slack));

    connecting.open();  // opened to the end, it serves the next one
    BOOST_TEST(eventually([&] { return pool.has_spare(); }));
    BOOST_TEST(pool.without_locks(waiting(patience), patience).has_value());
    BOOST_TEST(opened == 1);
}

BOOST_AUTO_TEST_CASE(a_wait_is_stopped_while_its_connection_is_opened) {
    is_slow = true;
    std::stop_source stop;
    auto waits =
        in_background([&] { return pool.without_locks(waiting(patience, stop.get_token()), patience).has_value(); });
    BOOST_TEST(connecting.reached_by());
    stop.request_stop();
    BOOST_TEST(!waits.get());
    connecting.open();
}

BOOST_AUTO_TEST_CASE(a_wait_takes_what_is_put_back_before_its_own_is_there) {
    std::optional<pool_of_fakes::use> mine{pool.any(soon())};
    is_slow = true;
    auto waits = in_background([&] { return pool.without_locks(waiting(patience), patience).has_value(); });
    BOOST_TEST(connecting.reached_by());
    mine.reset();
    BOOST_TEST(waits.get());
    BOOST_TEST(opened == 1);
    connecting.open();
    BOOST_TEST(eventually([&] { return pool.size() == 2; }));
}

BOOST_AUTO_TEST_CASE(why_it_cannot_be_opened_gets_to_who_waits) {
    fails = true;
    BOOST_CHECK_THROW((void)pool.without_locks(waiting(patience), patience), rowlock::connection_error);
    fails = false;
    BOOST_TEST(pool.without_locks(waiting(patience), patience).has_value());
}

BOOST_AUTO_TEST_CASE(an_over_wait_opens_nothing) {
    BOOST_TEST(!pool.without_locks({.until = deadline::passed()}, patience));
    BOOST_TEST(opened == 0);
}

BOOST_AUTO_TEST_CASE(one_is_left_for_what_does_not_wait) {
    std::vector<pool_of_fakes::use> all;
    while (auto one = pool.without_locks(waiting(patience), patience)) all.push_back(std::move(*one));
    BOOST_TEST(all.size() == pool_of_fakes::limit - 1);
    const auto here = pool.any(soon());
    BOOST_TEST(pool.size() == pool_of_fakes::limit);
}

BOOST_AUTO_TEST_CASE(what_does_not_wait_does_not_wait_for_a_waits_connection) {
    is_slow = true;
    auto waits = in_background([&] { return pool.without_locks(waiting(patience), patience).has_value(); });
    BOOST_TEST(connecting.reached_by());
    is_slow = false;
    {
        const auto here = pool.any(soon());
        BOOST_TEST(opened == 1);
    }
    BOOST_TEST(waits.get());  // with what was put back
    connecting.open();
}

BOOST_AUTO_TEST_CASE(the_end_of_the_pool_ends_the_opening) {
    is_slow = true;
    std::optional<pool_of_fakes> brief{std::in_place,
                                       [this](std::uint64_t id, const wait_bound& w) {
                                           const std::stop_callback on_stop{w.stop, [this] {
                                                                                ++told_to_stop;
                                                                                connecting.open();
                                                                            }};
                                           (void)connecting.pass();
                                           return std::make_shared<member>(id);
                                       },
                                       "a server", "fake", [](member&, const std::string&) {}};
    BOOST_TEST(!brief->without_locks(waiting(1ms), patience));
    BOOST_TEST(connecting.reached_by());
    brief.reset();
    BOOST_TEST(told_to_stop == 1);
}

// Somebody who uses one connection again and again, as a purge does, or waits in it for moments, leaves it to who wants
// it, though he could have it again before that one has woken up.
BOOST_AUTO_TEST_CASE(nobody_is_kept_out_by_who_uses_it_again_and_again) {
    for (const bool waits : {false, true}) {
        BOOST_TEST_CONTEXT((waits ? "in waits" : "in moments")) {
            const auto one = pool.any(soon()).who();
            std::atomic<bool> over{false};
            std::atomic<int> times{0};
            auto busy = in_background([&] {
                while (!over) {
                    const auto here =
                        waits ? std::move(*pool.without_locks(waiting(patience), patience)) : pool.any(soon());
                    times += here.who() == one;
                    const auto done = std::chrono::steady_clock::now() + 100us;
                    while (std::chrono::steady_clock::now() < done) {  // works there
                    }
                }
            });
            BOOST_TEST(eventually([&] { return times > 0; }));
            int most = 0;
            for (int i = 0; i < 10; ++i) {
                const int before = times;
                { const auto here = pool.that(one, soon()); }
                most = std::max(most, times - before);
            }
            over = true;
            busy.get();
            BOOST_TEST_MESSAGE("it was used " << most << " times at most while somebody waited for it");
            BOOST_TEST(most < 500, "50 ms, mostly to be scheduled");
        }
    }
}

BOOST_AUTO_TEST_CASE(who_waits_for_one_in_use_is_told_when_time_is_over) {
    const auto here = pool.any(soon());
    BOOST_CHECK_THROW((void)pool.any(deadline::after(5ms)), rowlock::connection_error);
    BOOST_CHECK_THROW((void)pool.that(here.who(), deadline::after(5ms)), rowlock::connection_error);
}

BOOST_AUTO_TEST_CASE(what_broke_is_taken_out) {
    {
        const auto here = pool.any(soon());
        here->broken = true;
    }
    BOOST_TEST(pool.size() == 0U);
    const auto here = pool.any(soon());
    BOOST_TEST(opened == 2);
}

BOOST_AUTO_TEST_SUITE_END()
