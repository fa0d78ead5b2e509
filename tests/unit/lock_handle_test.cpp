#include <boost/test/unit_test.hpp>

#include <stdexcept>
#include <thread>
#include <type_traits>

#include <rowlock/error.hpp>
#include <rowlock/memory.hpp>
#include <rowlock/rowlock.hpp>

#include <support/fake_backend.hpp>

using namespace std::chrono_literals;
using rowlock::lock_handle;
using rowlock::lock_mode;
using rowlock::lock_request;
using steady = std::chrono::steady_clock;

static_assert(!std::is_copy_constructible_v<lock_handle> && !std::is_copy_assignable_v<lock_handle>);
static_assert(std::is_nothrow_move_constructible_v<lock_handle> && std::is_nothrow_move_assignable_v<lock_handle>);
static_assert(!std::is_default_constructible_v<lock_handle>);

namespace {

struct fixture {
    rowlock::provider locks = rowlock::memory::make({.key_prefix = "app:"});
};

struct fake_fixture {
    std::shared_ptr<rowlock::test::fake_database> db = std::make_shared<rowlock::test::fake_database>();
    rowlock::provider locks{std::make_unique<rowlock::test::fake_backend>(db)};
    rowlock::upgrade_mutex u{locks, "u"};
};

// What lock_handle promises about a handle that stands for no lock.
void check_stands_for_nothing(lock_handle& h) {
    BOOST_TEST(h.name() == "");
    BOOST_TEST(!h.token());
    BOOST_TEST(!h.lost().stop_possible());
    BOOST_TEST(!h.lost_reason());
    BOOST_TEST(h.lost_detail() == "");
    BOOST_TEST((h.valid_until() < steady::now()));
    BOOST_CHECK_NO_THROW(h.release());
    BOOST_CHECK_THROW(h.verify(), std::logic_error);
    BOOST_CHECK_THROW((void)h.mode(), std::logic_error);
    BOOST_CHECK_THROW((void)h.request(), std::logic_error);
    BOOST_CHECK_THROW((void)h.try_upgrade(), std::logic_error);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(handle, fixture)

BOOST_AUTO_TEST_CASE(it_tells_what_it_stands_for) {
    const auto h = locks.acquire("n");
    BOOST_TEST(h.name() == "n");
    BOOST_TEST((h.mode() == lock_mode::exclusive));
    BOOST_TEST(h.request().name == "app:n");
    BOOST_TEST(h.lost().stop_possible());
    BOOST_TEST(!h.lost_reason());
    BOOST_TEST((h.valid_until() == steady::time_point::max()));
}

BOOST_AUTO_TEST_CASE(a_moved_from_handle_stands_for_nothing) {
    auto first = locks.acquire("n");
    auto second = std::move(first);
    check_stands_for_nothing(first);  // NOLINT(bugprone-use-after-move): that is the point
    BOOST_TEST(second.name() == "n");
    BOOST_TEST(!locks.try_acquire("n"));
}

BOOST_AUTO_TEST_CASE(assignment_releases_what_was_there) {
    auto a = locks.acquire("a");
    auto b = locks.acquire("b");
    a = std::move(b);
    BOOST_TEST(a.name() == "b");
    check_stands_for_nothing(b);  // NOLINT(bugprone-use-after-move)
    BOOST_TEST(locks.try_acquire("a").has_value());
    BOOST_TEST(!locks.try_acquire("b"));
}

BOOST_AUTO_TEST_CASE(assignment_to_itself_changes_nothing) {
    auto a = locks.acquire("a");
    auto& same = a;
    a = std::move(same);
    BOOST_TEST(a.name() == "a");
    BOOST_TEST(!locks.try_acquire("a"));
}

BOOST_AUTO_TEST_CASE(a_handle_keeps_its_provider_alive) {
    std::optional<lock_handle> h;
    {
        auto p = rowlock::memory::make();
        h = p.try_acquire("n");
    }
    BOOST_CHECK_NO_THROW(h->verify());
    h->release();
}

BOOST_AUTO_TEST_CASE(a_released_handle_knows_its_name_and_holds_nothing) {
    auto h = locks.acquire("n");
    const auto lost = h.lost();
    h.release();
    h.release();
    BOOST_TEST(h.name() == "n");
    BOOST_TEST(!lost.stop_requested());
    BOOST_TEST((h.valid_until() <= steady::now()));
    BOOST_CHECK_THROW(h.verify(), std::logic_error);
    BOOST_CHECK_THROW((void)h.try_upgrade(), std::logic_error);
}

BOOST_AUTO_TEST_CASE(only_an_upgrade_lock_can_be_upgraded) {
    auto exclusive = locks.acquire("n");
    BOOST_CHECK_THROW((void)exclusive.try_upgrade(), std::logic_error);
    auto shared = rowlock::shared_mutex{locks, "s"}.acquire_shared();
    BOOST_CHECK_THROW(shared.upgrade(), std::logic_error);
    auto upgraded = rowlock::upgrade_mutex{locks, "u"}.acquire_upgrade();
    BOOST_TEST(upgraded.try_upgrade());
    BOOST_CHECK_THROW((void)upgraded.try_upgrade(), std::logic_error);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(upgrading, fake_fixture)

BOOST_AUTO_TEST_CASE(an_upgrade_asks_with_the_handles_own_id) {
    auto h = u.acquire_upgrade();
    const auto id = h.request().id;
    lock_request seen;
    db->on_try = [&](const lock_request& r) {
        seen = r;
        return db->granted(2);
    };
    BOOST_TEST(h.try_upgrade());
    BOOST_TEST((seen.id == id));
    BOOST_TEST(seen.upgrade);
    BOOST_TEST((seen.mode == lock_mode::exclusive));
    BOOST_TEST((h.mode() == lock_mode::exclusive));
    BOOST_TEST((h.token() == rowlock::fencing_token{2}));
}

BOOST_AUTO_TEST_CASE(a_failed_upgrade_leaves_the_queue_and_keeps_the_lock) {
    auto h = u.acquire_upgrade();
    db->on_try = [](const lock_request&) { return std::nullopt; };
    BOOST_TEST(!h.try_upgrade_for(2ms));
    BOOST_TEST(db->count("abandon") == 1);
    BOOST_TEST((h.mode() == lock_mode::upgrade));
    BOOST_TEST(!h.lost().stop_requested());
    BOOST_TEST(db->count("release") == 0);
}

BOOST_AUTO_TEST_CASE(an_upgrade_that_failed_does_not_give_the_lock_back) {
    auto h = u.acquire_upgrade();
    db->on_try = [](const lock_request&) -> std::optional<rowlock::grant> { throw rowlock::in_doubt_error{"?"}; };
    BOOST_CHECK_THROW((void)h.try_upgrade_for(1h), rowlock::in_doubt_error);
    BOOST_TEST(db->asked("abandon"), "the place in the queue is owed");
    // Another debt behind it is paid: so the first one is, too, and without a release.
    BOOST_CHECK_THROW((void)u.try_acquire(), rowlock::in_doubt_error);
    BOOST_TEST(db->asked("release"));
    BOOST_TEST(db->count("release") == 1);
    BOOST_TEST((h.mode() == lock_mode::upgrade));
}

BOOST_AUTO_TEST_CASE(a_cancelled_upgrade_keeps_the_lock) {
    auto h = u.acquire_upgrade();
    std::stop_source stop;
    db->on_try = [&](const lock_request&) {
        stop.request_stop();
        return std::nullopt;
    };
    BOOST_CHECK_THROW(h.upgrade(stop.get_token()), rowlock::cancelled);
    BOOST_TEST((h.mode() == lock_mode::upgrade));
    BOOST_TEST(!h.lost().stop_requested());
}

BOOST_AUTO_TEST_CASE(a_loss_ends_the_wait_for_an_upgrade) {
    auto h = u.acquire_upgrade();
    const auto id = h.request().id;
    db->on_try = [](const lock_request&) { return std::nullopt; };
    db->on_await = [&](const lock_request&, const rowlock::wait_bound& w) -> std::optional<rowlock::grant> {
        db->listener->on_loss(id, rowlock::loss_reason::broken, "by hand");
        while (!w.over()) std::this_thread::yield();
        return std::nullopt;
    };
    BOOST_CHECK_THROW(h.upgrade(), rowlock::lock_lost);
    BOOST_TEST(h.lost().stop_requested());
    BOOST_CHECK_THROW((void)h.try_upgrade(), rowlock::lock_lost);
}

BOOST_AUTO_TEST_SUITE_END()
