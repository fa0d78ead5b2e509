// Readers and writers; everything holds for shared_mutex and for the shared side of upgrade_mutex.
#include <boost/test/unit_test.hpp>

#include <thread>

#include <rowlock/error.hpp>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

// The same test for each primitive that has readers.
template <template <class> class Test>
void for_each_with_readers(context& c) {
    {
        auto locks = c.open();
        Test<shared_mutex>::run(c, locks, shared_mutex{locks, "n"});
    }
    auto locks = c.open();
    if (locks.supports(primitive::upgrade_mutex)) Test<upgrade_mutex>::run(c, locks, upgrade_mutex{locks, "n"});
}

template <class Mutex>
struct readers_together_writers_alone {
    static void run(context&, provider&, Mutex s) {
        auto one = s.acquire_shared();
        auto two = s.try_acquire_shared();
        auto three = s.try_acquire_shared_for(1ms);
        BOOST_REQUIRE(two.has_value());
        BOOST_REQUIRE(three.has_value());
        BOOST_TEST((one.mode() == lock_mode::shared));
        BOOST_TEST(!s.try_acquire());
        BOOST_TEST(!s.try_acquire_for(2ms));
        one.release();
        two->release();
        BOOST_TEST(!s.try_acquire(), "the last reader is still there");
        three->release();
        auto writer = s.try_acquire();
        BOOST_REQUIRE(writer.has_value());
        BOOST_TEST((writer->mode() == lock_mode::exclusive));
        BOOST_TEST(!s.try_acquire_shared());
        BOOST_TEST(!s.try_acquire_shared_until(steady::now() + 2ms));
        BOOST_TEST(!s.try_acquire());
        writer->release();
        BOOST_TEST(s.try_acquire_shared().has_value());
    }
};

template <class Mutex>
struct readers_wait_for_the_writer {
    static void run(context& c, provider& locks, Mutex s) {
        auto writer = std::make_optional(s.acquire());
        std::atomic<int> reading{0};
        std::vector<std::future<bool>> readers;
        for (int i = 0; i < 3; ++i)
            readers.push_back(in_background([&] {
                const auto mine = s.acquire_shared();
                ++reading;
                return eventually([&] { return reading == 3; });
            }));
        BOOST_TEST(c.waiting(locks, 3));
        BOOST_TEST(reading == 0);
        writer.reset();
        for (auto& r : readers) BOOST_TEST(r.get(), "all of them at the same time");
        BOOST_TEST(reading == 3);
    }
};

template <class Mutex>
struct a_waiting_writer_is_not_overtaken {
    static void run(context& c, provider& locks, Mutex s) {
        auto reader = std::make_optional(s.acquire_shared());
        std::vector<std::string> order;
        std::mutex m;
        const auto note = [&](const char* what) {
            const std::lock_guard lock{m};
            order.emplace_back(what);
        };
        std::jthread writer{[&] {
            const auto mine = s.acquire();
            note("writer");
        }};
        BOOST_TEST(c.waiting(locks, 1));
        BOOST_TEST(!s.try_acquire_shared(), "a new reader would starve the writer");
        std::jthread late{[&] {
            const auto mine = s.acquire_shared();
            note("late reader");
        }};
        BOOST_TEST(c.waiting(locks, 2));
        reader.reset();
        writer.join();
        late.join();
        BOOST_TEST((order == std::vector<std::string>{"writer", "late reader"}));
    }
};

template <class Mutex>
struct a_writer_who_gives_up_lets_readers_in {
    static void run(context& c, provider& locks, Mutex s) {
        const auto reader = s.acquire_shared();
        std::stop_source stop;
        auto writer = in_background([&] { return throws<cancelled>([&] { (void)s.acquire(stop.get_token()); }); });
        BOOST_TEST(c.waiting(locks, 1));
        std::optional<lock_handle> got;
        std::jthread late{[&] { got = s.acquire_shared(); }};
        BOOST_TEST(c.waiting(locks, 2));
        stop.request_stop();
        late.join();
        BOOST_TEST(got.has_value(), "nobody is in its way any more");
        BOOST_TEST(writer.get());
    }
};

template <class Mutex>
struct a_writer_is_alone_among_many_readers {
    static void run(context&, provider&, Mutex s) {
        std::atomic<int> readers{0}, writers{0}, wrong{0};
        const int cycles = rounds(60);
        std::vector<std::jthread> all;
        for (int t = 0; t < 6; ++t)
            all.emplace_back([&, writes = t % 3 == 0] {
                for (int i = 0; i < cycles; ++i) {
                    const auto mine = writes ? s.acquire() : s.acquire_shared();
                    auto& mine_too = writes ? writers : readers;
                    ++mine_too;
                    std::this_thread::yield();
                    const int r = readers, w = writers;
                    if (w > 1 || (w == 1 && (writes ? r > 0 : true))) ++wrong;
                    --mine_too;
                }
            });
        all.clear();
        BOOST_TEST(wrong == 0);
    }
};

void readers_of_several_views(context& c) {
    auto locks = c.open(), other = c.open();
    const auto one = shared_mutex{locks, "n"}.acquire_shared();
    const auto two = shared_mutex{other, "n"}.try_acquire_shared();
    BOOST_REQUIRE(two.has_value());
    BOOST_TEST(c.place().holders_in_database("n") == (c.kind().counts_readers ? 2 : 1));
    if (locks.traits().tokens) BOOST_TEST((two->token() > one.token()), "readers have tokens of their own");
}

}  // namespace

void add_shared_cases(case_list& cases) {
    cases.insert(
        cases.end(),
        {{"readers_together_writers_alone", for_each_with_readers<readers_together_writers_alone>},
         {"readers_wait_for_the_writer", for_each_with_readers<readers_wait_for_the_writer>},
         {"a_waiting_writer_is_not_overtaken", for_each_with_readers<a_waiting_writer_is_not_overtaken>,
          need::fair | need::inspection},
         {"a_writer_who_gives_up_lets_readers_in", for_each_with_readers<a_writer_who_gives_up_lets_readers_in>},
         {"a_writer_is_alone_among_many_readers", for_each_with_readers<a_writer_is_alone_among_many_readers>},
         {"readers_of_several_views", readers_of_several_views}});
}

}  // namespace rowlock::conformance
