// Looking for a free permit of a semaphore that has many, on the stand-in.
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <optional>
#include <vector>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>
#include <rowlock/sqlserver.hpp>

#include <applock_session.hpp>
#include <permit_search.hpp>
#include <resource_name.hpp>

#include <support/postgres_server.hpp>

namespace rowlock {
namespace {

using namespace std::chrono_literals;
using sqlserver::applock_session;
namespace mode = sqlserver::applock_mode;

deadline soon() { return deadline::after(30s); }
const wait_bound for_ever{.until = deadline::never()};

struct server {
    test::postgres_server& it = test::postgres_server::shared();
    const std::string database = it.new_database();
    const std::string to = it.odbc_connection_string(database);

    server() { it.run_file(database, ROWLOCK_TEST_APPLOCK_STAND_IN); }
};

// Two sessions, of which one has permits.
struct sessions : server {
    const odbc::environment environment{"test"};
    odbc::canceler canceler;
    applock_session one{environment, canceler, to, "test", soon()}, two{environment, canceler, to, "test", soon()};

    void take(std::uint32_t from, std::uint32_t to_before) {
        for (auto i = from; i < to_before; ++i)
            BOOST_REQUIRE(one.try_get(sqlserver::permit_of("n", i), mode::exclusive, soon()));
    }
    std::optional<std::string> search(std::uint32_t permits, std::uint32_t first,
                                      const std::vector<std::string>& own = {}) {
        return sqlserver::take_free_permit(two, {.name = "n", .mode = lock_mode::permit, .permits = permits}, first,
                                           own, for_ever, soon());
    }
};

// By chance 64 of them would do now and then; not ten times.
BOOST_FIXTURE_TEST_CASE(the_only_free_one_of_many_is_found, server) {
    auto locks = sqlserver::applock(to), others = sqlserver::applock(to);
    semaphore mine{locks, "n", 300}, theirs{others, "n", 300};
    std::vector<lock_handle> held;
    for (int i = 0; i < 299; ++i) held.push_back(theirs.acquire());
    for (int i = 0; i < 10; ++i) BOOST_TEST(mine.try_acquire().has_value());
    held.push_back(theirs.acquire());
    BOOST_TEST(!mine.try_acquire());
    BOOST_TEST(!mine.try_acquire_for(10ms));
    held.erase(held.begin());
    BOOST_TEST(mine.try_acquire_for(10s).has_value());
}

BOOST_FIXTURE_TEST_CASE(it_goes_round_and_passes_over_its_own, sessions) {
    take(1, 4);
    BOOST_TEST(search(5, 2).value() == sqlserver::permit_of("n", 4));
    BOOST_TEST(search(5, 2, {sqlserver::permit_of("n", 4)}).value() == sqlserver::permit_of("n", 0));
    BOOST_TEST(!search(5, 2, {sqlserver::permit_of("n", 4), sqlserver::permit_of("n", 0)}));
}

BOOST_FIXTURE_TEST_CASE(what_cannot_be_known_is_not_called_busy, sessions) {
    const auto most = static_cast<std::uint32_t>(sqlserver::most_permits_asked);
    take(0, most);
    BOOST_TEST(!search(most, 7));
    BOOST_CHECK_EXCEPTION((void)search(most + 1, 0), unsupported, [](const auto& e) {
        return e.lock_name() == "n" && std::string{e.what()}.find("fewer permits") != std::string::npos;
    });
    BOOST_TEST(search(most + 1, 1).value() == sqlserver::permit_of("n", most), "the last one that it asks for");
}

BOOST_FIXTURE_TEST_CASE(it_ends_when_the_time_is_over, sessions) {
    take(0, 1);
    const lock_request r{.name = "n", .mode = lock_mode::permit, .permits = 2};
    const auto permit = [&](const wait_bound& w, deadline d) {
        return sqlserver::take_free_permit(two, r, 0, {}, w, d);
    };
    BOOST_TEST(!permit({}, soon()), "that of who waits");
    BOOST_CHECK_THROW((void)permit(for_ever, deadline::passed()), connection_error);
    BOOST_TEST(permit(for_ever, soon()).has_value());
}

}  // namespace
}  // namespace rowlock
