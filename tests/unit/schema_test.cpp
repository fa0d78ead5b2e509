#include <boost/test/unit_test.hpp>

#include <array>
#include <stdexcept>

#include <rowlock/error.hpp>
#include <rowlock/schema.hpp>

using rowlock::applied_migration;
using rowlock::migration;
using rowlock::schema;
using rowlock::schema_error;

namespace {

constexpr std::array<migration, 3> three{{
    {1, "0001_locks", "create 1", "aaa"},
    {2, "0002_history", "create 2", "bbb"},
    {3, "0003_index", "create 3", "ccc"},
}};

// A database in memory; the test keeps it.
struct fake_state {
    std::span<const migration> available{three};
    std::vector<applied_migration> done{};
    int exclusive_calls = 0;
    bool inside = false;
    std::function<void()> on_exclusive{};  // what another process does just before our turn
    int fail_at = 0;                       // this step throws
};

struct fake_target final : rowlock::migration_target {
    explicit fake_target(fake_state& s) : state{s} {}
    std::span<const migration> available() const override { return state.available; }
    std::vector<applied_migration> applied() override { return state.done; }
    void exclusively(const std::function<void()>& change) override {
        ++state.exclusive_calls;
        if (state.on_exclusive) state.on_exclusive();
        const auto before = state.done;
        state.inside = true;
        try {
            change();
        } catch (...) {
            state.inside = false;
            state.done = before;
            throw;
        }
        state.inside = false;
    }
    void apply(const migration& step) override {
        BOOST_TEST(state.inside);
        if (step.number == state.fail_at) throw rowlock::connection_error{"disk full"};
        state.done.push_back({step.number, std::string{step.name}, std::string{step.checksum}});
    }
    fake_state& state;
};

applied_migration done(const migration& m) { return {m.number, std::string{m.name}, std::string{m.checksum}}; }

struct fixture {
    fake_state state;
    schema s{std::make_unique<fake_target>(state)};

    std::vector<int> planned() {
        std::vector<int> numbers;
        for (const auto& m : s.plan()) numbers.push_back(m.number);
        return numbers;
    }
    void check_refused(std::string_view part) {
        const auto mentions = [&](const schema_error& e) {
            return std::string_view{e.what()}.find(part) != std::string_view::npos;
        };
        const auto before = state.done.size();
        BOOST_CHECK_EXCEPTION((void)s.plan(), schema_error, mentions);
        BOOST_CHECK_EXCEPTION(s.check(), schema_error, mentions);
        BOOST_CHECK_EXCEPTION((void)s.migrate(), schema_error, mentions);
        BOOST_TEST(state.exclusive_calls == 0);
        BOOST_TEST(state.done.size() == before);
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(migration_runner, fixture)

BOOST_AUTO_TEST_CASE(an_empty_database_gets_every_step_in_order) {
    BOOST_TEST((planned() == std::vector{1, 2, 3}));
    BOOST_TEST(state.done.empty(), "planning changes nothing");
    const auto ran = s.migrate();
    BOOST_REQUIRE(ran.size() == 3U);
    for (std::size_t i = 0; i < 3; ++i) {
        BOOST_TEST(ran[i].number == three[i].number);
        BOOST_TEST(state.done[i].name == three[i].name);
        BOOST_TEST(state.done[i].checksum == three[i].checksum);
    }
    BOOST_CHECK_NO_THROW(s.check());
    BOOST_TEST(s.all().size() == 3U);
}

BOOST_AUTO_TEST_CASE(a_second_time_there_is_nothing_to_do) {
    (void)s.migrate();
    BOOST_TEST(s.migrate().empty());
    BOOST_TEST(state.exclusive_calls == 1, "an up-to-date database is not locked");
}

BOOST_AUTO_TEST_CASE(only_what_is_missing_runs) {
    state.done = {done(three[0])};
    BOOST_TEST((planned() == std::vector{2, 3}));
    BOOST_TEST(s.migrate().size() == 2U);
}

BOOST_AUTO_TEST_CASE(check_says_what_is_missing_and_what_to_run) {
    const auto mentions = [](std::string_view step) {
        return [step](const schema_error& e) {
            const std::string_view what{e.what()};
            return what.find(step) != std::string_view::npos && what.find("rowlock migrate") != std::string_view::npos;
        };
    };
    BOOST_CHECK_EXCEPTION(s.check(), schema_error, mentions("0001_locks"));
    state.done = {done(three[0]), done(three[1])};
    BOOST_CHECK_EXCEPTION(s.check(), schema_error, mentions("0003_index"));
}

BOOST_AUTO_TEST_CASE(a_newer_database_is_refused) {
    state.done = {done(three[0]), done(three[1]), done(three[2]), {4, "0004_more", "ddd"}};
    check_refused("newer");
}

BOOST_AUTO_TEST_CASE(a_database_with_steps_where_there_are_none_is_refused) {
    state.available = {};
    state.done = {done(three[0])};
    check_refused("newer");
}

BOOST_AUTO_TEST_CASE(an_edited_step_is_refused) {
    state.done = {done(three[0]), {2, "0002_history", "edited"}};
    check_refused("0002_history was edited");
}

BOOST_AUTO_TEST_CASE(a_step_that_another_tool_ran_has_no_checksum_to_compare) {
    state.done = {{1, "0001_locks", ""}};
    BOOST_TEST((planned() == std::vector{2, 3}));
}

BOOST_AUTO_TEST_CASE(a_gap_is_refused) {
    state.done = {done(three[0]), done(three[2])};
    check_refused("0003_index");
}

BOOST_AUTO_TEST_CASE(a_missing_first_step_is_refused) {
    state.done = {done(three[1])};
    check_refused("0002_history");
}

BOOST_AUTO_TEST_CASE(another_programs_step_is_refused) {
    state.done = {{1, "0001_users", "aaa"}};
    check_refused("0001_users");
}

BOOST_AUTO_TEST_CASE(who_comes_second_finds_nothing_to_do) {
    state.on_exclusive = [&] { state.done = {done(three[0]), done(three[1]), done(three[2])}; };
    BOOST_TEST(s.migrate().empty());
    BOOST_TEST(state.done.size() == 3U);
}

BOOST_AUTO_TEST_CASE(who_comes_second_to_half_of_it_does_the_rest) {
    state.on_exclusive = [&] { state.done = {done(three[0])}; };
    const auto ran = s.migrate();
    BOOST_REQUIRE(ran.size() == 2U);
    BOOST_TEST(ran[0].number == 2);
}

BOOST_AUTO_TEST_CASE(a_step_that_fails_leaves_nothing_behind) {
    state.fail_at = 2;
    BOOST_CHECK_THROW((void)s.migrate(), rowlock::connection_error);
    BOOST_TEST(state.done.empty());
    state.fail_at = 0;
    BOOST_TEST(s.migrate().size() == 3U);
}

BOOST_AUTO_TEST_SUITE_END()
