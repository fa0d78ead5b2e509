#include <boost/test/unit_test.hpp>

#include <optional>
#include <thread>

#include <turns.hpp>

using namespace std::chrono_literals;
using rowlock::detail::turns;

namespace {

const int a = 0, b = 0;

struct fixture {
    turns all;

    static void until_patience_is_over() {
        const auto end = std::chrono::steady_clock::now() + turns::patience;
        while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(on_turns, fixture)

BOOST_AUTO_TEST_CASE(nobody_waits_anybody_may) { BOOST_TEST(all.may_use(&a)); }

BOOST_AUTO_TEST_CASE(who_waits_for_long_is_next) {
    const turns::turn first{all, &a};
    until_patience_is_over();
    const turns::turn second{all, &a};
    BOOST_TEST(all.may_use(&a, &first));
    BOOST_TEST(!all.may_use(&a, &second));
    BOOST_TEST(!all.may_use(&a));
    BOOST_TEST(all.may_use(&b), "nobody waits for that");
}

BOOST_AUTO_TEST_CASE(who_waits_for_anything_waits_for_each) {
    const turns::turn first{all};
    until_patience_is_over();
    BOOST_TEST(!all.may_use(&a));
    BOOST_TEST(!all.may_use(&b));
    BOOST_TEST(all.may_use(&b, &first));
}

BOOST_AUTO_TEST_CASE(what_is_had_by_name_alone_is_left_to_nobody_else) {
    const turns::turn first{all};
    until_patience_is_over();
    BOOST_TEST(all.may_use(&a, nullptr, true));
    const turns::turn second{all, &a};
    until_patience_is_over();
    BOOST_TEST(!all.may_use(&a, nullptr, true));
    BOOST_TEST(all.may_use(&a, &second, true));
}

BOOST_AUTO_TEST_CASE(who_goes_makes_way) {
    {
        const turns::turn first{all, &a};
        until_patience_is_over();
        BOOST_TEST(!all.may_use(&a));
    }
    BOOST_TEST(all.may_use(&a));
}

BOOST_AUTO_TEST_CASE(who_goes_wakes_the_next) {
    std::mutex mutex;
    std::unique_lock lock{mutex};
    std::optional<turns::turn> first{std::in_place, all, &a};
    until_patience_is_over();
    std::thread goes{[&] {
        const std::lock_guard also{mutex};
        first.reset();
    }};
    const turns::turn second{all, &a};
    BOOST_TEST(all.wait(lock, {.until = rowlock::deadline::never()}, [&] { return all.may_use(&a, &second); }));
    lock.unlock();
    goes.join();
}

BOOST_AUTO_TEST_SUITE_END()
