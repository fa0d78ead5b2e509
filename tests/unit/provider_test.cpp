#include <boost/test/unit_test.hpp>

#include <limits>
#include <stdexcept>

#include <rowlock/memory.hpp>
#include <rowlock/rowlock.hpp>

#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(a_provider_needs_a_back_end_and_sensible_options) {
    BOOST_CHECK_THROW(rowlock::provider{nullptr}, std::invalid_argument);
    BOOST_CHECK_THROW((void)rowlock::memory::make({.ttl = 0ms}), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(settings_are_those_it_was_made_with) {
    const auto locks = rowlock::memory::make({.key_prefix = "p:", .ttl = 7s, .owner = "o"});
    BOOST_TEST(locks.settings().key_prefix == "p:");
    BOOST_TEST((locks.settings().ttl == 7s));
    BOOST_TEST(locks.settings().owner == "o");
}

BOOST_AUTO_TEST_CASE(copies_share_their_locks) {
    auto a = rowlock::memory::make();
    auto b = a;
    const auto held = a.acquire("n");
    BOOST_TEST(!b.try_acquire("n"));
}

BOOST_AUTO_TEST_CASE(a_mutex_outlives_its_provider) {
    std::optional<rowlock::mutex> m;
    {
        const auto locks = rowlock::memory::make();
        m.emplace(locks, "n");
    }
    BOOST_TEST(m->try_acquire().has_value());
    BOOST_TEST(m->name() == "n");
}

BOOST_AUTO_TEST_CASE(permits_have_a_range) {
    const auto locks = rowlock::memory::make();
    for (const auto bad : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{2147483648}, std::int64_t{4294967297},
                           std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()})
        BOOST_CHECK_THROW((rowlock::semaphore{locks, "s", bad}), std::invalid_argument);
    BOOST_CHECK_NO_THROW((rowlock::semaphore{locks, "s", 1}));
    BOOST_CHECK_NO_THROW((rowlock::semaphore{locks, "s", 2147483647}));
}

BOOST_AUTO_TEST_CASE(breaking_needs_a_reason_that_can_be_read) {
    auto locks = rowlock::memory::make();
    const auto held = locks.acquire("n");
    BOOST_CHECK_THROW(locks.break_lock("n", ""), std::invalid_argument);
    BOOST_CHECK_THROW(locks.break_lock("n", "\xFF"), std::invalid_argument);
    BOOST_CHECK_THROW(locks.break_lock("n", std::string_view("a\0b", 3)), std::invalid_argument);
    BOOST_CHECK_THROW(locks.break_lock("", "because"), std::invalid_argument);
    BOOST_TEST(!locks.try_acquire("n"), "nothing was broken");
}

BOOST_AUTO_TEST_CASE(purging_takes_no_negative_time) {
    auto locks = rowlock::memory::make();
    BOOST_CHECK_THROW(locks.purge(-1ms), std::invalid_argument);
    BOOST_CHECK_THROW(locks.purge(std::chrono::milliseconds::min()), std::invalid_argument);
    BOOST_TEST(locks.purge(0ms) == 0U);
}

BOOST_AUTO_TEST_CASE(nothing_has_been_idle_for_an_eternity) {
    auto locks = rowlock::memory::make();
    locks.acquire("n").release();
    BOOST_TEST(locks.purge(std::chrono::milliseconds::max()) == 0U);
    BOOST_TEST(locks.purge(std::chrono::milliseconds::max() / 1000) == 0U);
    BOOST_TEST(locks.purge(0ms) == 1U);
}

BOOST_AUTO_TEST_CASE(a_forked_child_inherits_neither_locks_nor_provider) {
    auto locks = rowlock::memory::make();
    auto held = std::make_optional(locks.acquire("n"));
    const auto refuses = [](auto&& use) {
        try {
            use();
        } catch (const std::logic_error&) {
            return true;
        } catch (...) {
        }
        return false;
    };
    const auto pid = fork();
    if (pid == 0) {
        int wrong = 0;
        wrong |= !refuses([&] { (void)locks.try_acquire("m"); }) << 0;
        wrong |= !refuses([&] { (void)locks.status(); }) << 1;
        wrong |= !refuses([&] { rowlock::mutex{locks, "m"}; }) << 2;
        wrong |= !refuses([&] { held->verify(); }) << 3;
        wrong |= !(held->name().empty() && !held->token()) << 4;
        held->release();  // does nothing
        held.reset();     // nor does this
        _exit(wrong);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    BOOST_TEST(WIFEXITED(status));
    BOOST_TEST(WEXITSTATUS(status) == 0, "bits of what went wrong");
    BOOST_TEST(!locks.try_acquire("n"), "still held here");
    BOOST_CHECK_NO_THROW(held->verify());
}
