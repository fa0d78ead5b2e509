// PATH-rowlock is deleted while it is in use: slower hand-overs, never two holders.
#include <boost/test/unit_test.hpp>

#include <support/actor_process.hpp>
#include <support/critical_section.hpp>
#include <support/sqlite_file.hpp>

using namespace std::chrono_literals;
using rowlock::test::actor_process;
using rowlock::test::slack;
using steady = std::chrono::steady_clock;

namespace {

constexpr auto ttl = 300ms * rowlock::test::slowness;

struct fixture {
    rowlock::test::sqlite_file db;

    actor_process actor() const {
        actor_process a;
        a.open(db.url(), " ttl=" + std::to_string(ttl.count()));
        return a;
    }
    void delete_arena() const { BOOST_TEST(std::filesystem::remove(db.beside("-rowlock"))); }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(arena, fixture)

BOOST_AUTO_TEST_CASE(a_holder_of_the_old_file_keeps_its_lock) {
    auto holder = actor();
    holder.expect_ok("acquire h n exclusive -");
    delete_arena();
    auto stranger = actor();
    BOOST_TEST(stranger.ask("acquire h n exclusive 0") == "busy");
    BOOST_TEST(stranger.ask("acquire h n exclusive " + std::to_string((2 * ttl).count())) == "busy", "it is renewed");
    BOOST_TEST(holder.ask("lost h") == "held");
    holder.expect_ok("release h");
    BOOST_TEST(stranger.ask("acquire h n exclusive " + std::to_string((2 * ttl + slack).count())).starts_with("ok"));
}

BOOST_AUTO_TEST_CASE(a_dead_stranger_is_replaced_after_its_time_to_live_not_before) {
    auto holder = actor();
    delete_arena();
    auto stranger = actor();
    const auto granted = steady::now();
    holder.expect_ok("acquire h n exclusive -");
    holder.kill();
    BOOST_TEST(stranger.ask("acquire h n exclusive " + std::to_string((2 * ttl + slack).count())).starts_with("ok"));
    BOOST_TEST((steady::now() - granted >= ttl));
}

BOOST_AUTO_TEST_CASE(control_with_the_file_it_is_replaced_at_once) {
    auto holder = actor();
    auto other = actor();
    holder.expect_ok("acquire h n exclusive -");
    holder.kill();
    BOOST_TEST(other.ask("acquire h n exclusive 0").starts_with("ok"));
}

BOOST_AUTO_TEST_CASE(who_waits_at_different_files_still_gets_its_turn) {
    auto holder = actor();
    holder.expect_ok("acquire h n exclusive -");
    auto old = actor();
    old.tell("acquire h n exclusive -");
    delete_arena();
    auto fresh = actor();
    fresh.tell("acquire h n exclusive -");
    holder.expect_ok("release h");
    // In whichever order; each within a few looks, which come at every time to live without a bell.
    actor_process* both[] = {&old, &fresh};
    for (auto* a : both) {
        auto* other = a == &old ? &fresh : &old;
        auto* first =
            rowlock::test::eventually([&] { return !a->is_silent() || !other->is_silent(); }) && !a->is_silent()
                ? a
                : other;
        BOOST_TEST(first->answer().starts_with("ok"));
        first->expect_ok("release h");
        auto* second = first == a ? other : a;
        BOOST_TEST(second->answer().starts_with("ok"));
        break;
    }
}

BOOST_AUTO_TEST_CASE(there_are_never_two_holders_however_often_it_is_deleted) {
    const rowlock::test::temp_dir directory;
    const auto file = (directory / "counter").string();
    constexpr int cycles = 40;
    std::vector<actor_process> actors;
    for (int i = 0; i < 4; ++i) {
        actors.push_back(actor());
        actors.back().tell("cycles " + std::to_string(cycles) + " n exclusive " + file);
        delete_arena();
    }
    for (auto& a : actors) BOOST_TEST(a.answer() == "ok 0");
    BOOST_TEST(rowlock::test::critical_section{file}.visits() == 4 * cycles);
}

BOOST_AUTO_TEST_SUITE_END()
