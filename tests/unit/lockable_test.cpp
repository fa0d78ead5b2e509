#include <boost/test/unit_test.hpp>

#include <mutex>
#include <system_error>
#include <thread>

#include <rowlock/lockable.hpp>
#include <rowlock/memory.hpp>

using namespace std::chrono_literals;
using rowlock::lockable;

namespace {

struct fixture {
    rowlock::provider locks = rowlock::memory::make();
    rowlock::mutex m{locks, "m"};
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(standard_wrappers, fixture)

BOOST_AUTO_TEST_CASE(unique_lock_holds_it) {
    lockable l{m};
    {
        const std::unique_lock lock{l};
        BOOST_TEST(!m.try_acquire());
        BOOST_REQUIRE(l.handle());
        BOOST_TEST(l.handle()->token().has_value());
    }
    BOOST_TEST(!l.handle());
    BOOST_TEST(m.try_acquire().has_value());
}

BOOST_AUTO_TEST_CASE(unique_lock_tries_and_times_out) {
    auto other = m.acquire();
    lockable l{m};
    BOOST_TEST(!(std::unique_lock{l, std::try_to_lock}.owns_lock()));
    BOOST_TEST(!(std::unique_lock{l, 5ms}.owns_lock()));
    BOOST_TEST(!(std::unique_lock{l, 0ms}.owns_lock()));
    BOOST_TEST(!(std::unique_lock{l, std::chrono::steady_clock::now() + 5ms}.owns_lock()));
    BOOST_TEST(!(std::unique_lock{l, std::chrono::system_clock::now() + 5ms}.owns_lock()));
    other.release();
    BOOST_TEST((std::unique_lock{l, 1h}.owns_lock()));
    BOOST_TEST((std::unique_lock{l, std::chrono::system_clock::now() + 1h}.owns_lock()));
    BOOST_TEST((std::unique_lock{l, std::try_to_lock}.owns_lock()));
}

BOOST_AUTO_TEST_CASE(points_in_time_at_the_ends_of_their_clock) {
    lockable l{m};
    BOOST_TEST(l.try_lock_until(std::chrono::system_clock::time_point::max()));
    l.unlock();
    auto other = m.acquire();
    BOOST_TEST(!l.try_lock_until(std::chrono::system_clock::time_point::min()));
    BOOST_TEST(!l.try_lock_until(std::chrono::steady_clock::time_point::min()));
    BOOST_TEST(!l.try_lock_for(std::chrono::hours::min()));
}

BOOST_AUTO_TEST_CASE(scoped_lock_of_two_never_deadlocks) {
    rowlock::mutex n{locks, "n"};
    const auto run = [](rowlock::mutex first, rowlock::mutex second) {
        for (int i = 0; i < 500; ++i) {
            lockable a{first}, b{second};
            const std::scoped_lock both{a, b};
        }
    };
    std::jthread other{[&] { run(n, m); }};
    run(m, n);
    other.join();
    BOOST_TEST(m.try_acquire().has_value());
    BOOST_TEST(n.try_acquire().has_value());
}

BOOST_AUTO_TEST_CASE(locking_twice_through_one_object_is_refused_not_waited_for) {
    lockable l{m};
    l.lock();
    BOOST_CHECK_EXCEPTION(l.lock(), std::system_error, [](const std::system_error& e) {
        return e.code() == std::errc::resource_deadlock_would_occur;
    });
    BOOST_TEST(!l.try_lock(), "it is not free: this object has it already");
    BOOST_TEST(!l.try_lock_for(1ms));
    BOOST_TEST(!m.try_acquire());
    l.unlock();
    BOOST_TEST(m.try_acquire().has_value());
}

BOOST_AUTO_TEST_CASE(unlock_without_lock_does_nothing) {
    lockable l{m};
    l.unlock();
    BOOST_TEST(l.try_lock());
}

BOOST_AUTO_TEST_SUITE_END()
