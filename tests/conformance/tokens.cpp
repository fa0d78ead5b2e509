// Fencing tokens only grow, whatever happens to the lock and to its holders.
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <thread>

#include <rowlock/error.hpp>

#include <support/actor_process.hpp>

#include "suite.hpp"

namespace rowlock::conformance {
namespace {

// Takes the lock and gives it back; its token must be above all that were seen.
class rising {
public:
    void see(std::optional<fencing_token> t) {
        BOOST_REQUIRE(t.has_value());
        BOOST_TEST((*t > last_), t->value() << " does not follow " << last_.value());
        last_ = std::max(last_, *t);
    }
    void see(mutex_like m) { see(m.acquire().token()); }

private:
    fencing_token last_{0};
};

void over_releases_and_reopenings(context& c) {
    rising tokens;
    const auto keeps_the_store_open = c.open();
    for (int i = 0; i < 5; ++i) {
        const auto locks = c.open();
        tokens.see(c.mutex(locks));
        tokens.see(c.mutex(locks));
    }
}

void over_hand_overs_to_waiters(context& c) {
    auto locks = c.open();
    rising tokens;
    auto held = std::make_optional(c.mutex(locks).acquire());
    tokens.see(held->token());
    std::optional<lock_handle> next;
    std::jthread waiter{[&] { next = c.mutex(locks).acquire(); }};
    BOOST_TEST(c.waiting(locks, 1));
    held.reset();
    waiter.join();
    tokens.see(next->token());
}

void over_purges(context& c) {
    auto locks = c.open();
    rising tokens;
    for (int i = 0; i < 3; ++i) {
        tokens.see(c.mutex(locks, "purged").acquire().token());
        (void)c.mutex(locks, "other").acquire();
        (void)locks.purge(0ms);
    }
}

// Purges come in the middle of everything: while a name is tried for, granted, released.
void over_purges_meanwhile(context& c) {
    auto locks = c.open(), others = c.open();
    std::atomic<bool> end{false};
    std::jthread purger{[&] {
        while (!end) (void)others.purge(0ms);
    }};
    rising one, two;
    auto first = c.mutex(locks, "one"), second = c.mutex(others, "two");
    for (int i = 0; i < rounds(300); ++i) {
        one.see(first);
        two.see(second);
    }
    end = true;
}

void over_breaks(context& c) {
    auto locks = c.open();
    rising tokens;
    auto m = c.mutex(locks);
    auto held = m.acquire();
    tokens.see(held.token());
    BOOST_TEST(locks.break_lock("n", "test"));
    tokens.see(m);
}

void over_expiry(context& c) {
    auto locks = c.open();
    rising tokens;
    auto m = c.mutex(locks);
    auto held = m.acquire();
    tokens.see(held.token());
    if (!c.place().expire("n")) return;
    auto next = m.acquire();
    tokens.see(next.token());
    BOOST_CHECK_THROW(held.verify(), lock_lost);
    held.release();
    BOOST_CHECK_NO_THROW(next.verify());
}

void over_the_death_of_processes(context& c) {
    rising tokens;
    auto locks = c.open();
    auto m = c.mutex(locks);
    for (int i = 0; i < 3; ++i) {
        test::actor_process a;
        a.open(c.place().url());
        tokens.see(fencing_token{test::token_in(a.ask("acquire h n " + c.actor_mode() + " -"))});
        a.kill();
        c.bury();
        tokens.see(m);
    }
}

}  // namespace

void add_token_cases(case_list& cases) {
    cases.insert(
        cases.end(),
        {{"tokens_grow_over_releases_and_reopenings", over_releases_and_reopenings, need::tokens},
         {"tokens_grow_over_hand_overs", over_hand_overs_to_waiters, need::tokens},
         {"tokens_grow_over_purges", over_purges, need::tokens | need::purging},
         {"tokens_grow_over_purges_meanwhile", over_purges_meanwhile, need::tokens | need::purging},
         {"tokens_grow_over_breaks", over_breaks, need::tokens | need::operation},
         {"tokens_grow_over_expiry", over_expiry, need::tokens | need::expiry},
         {"tokens_grow_over_the_death_of_processes", over_the_death_of_processes, need::tokens | need::processes}});
}

}  // namespace rowlock::conformance
