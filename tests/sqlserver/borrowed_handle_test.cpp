// Whether a connection is still the one that was handed over, on the stand-in.
#include <boost/test/unit_test.hpp>

#include <atomic>

#include <dlfcn.h>

#include <rowlock/error.hpp>

#include <odbc/borrowed_handle.hpp>

#include <support/odbc_connection.hpp>
#include <support/postgres_server.hpp>

namespace {

std::atomic<int> asked_of_statements{0};

}  // namespace

// In place of the driver manager's, which it hands on to.
extern "C" SQLRETURN SQL_API SQLGetStmtAttr(SQLHSTMT statement, SQLINTEGER attribute, SQLPOINTER value,
                                            SQLINTEGER length, SQLINTEGER* written) {
    static auto* const real = reinterpret_cast<decltype(&SQLGetStmtAttr)>(dlsym(RTLD_NEXT, "SQLGetStmtAttr"));
    ++asked_of_statements;
    return real(statement, attribute, value, length, written);
}

namespace rowlock::odbc {
namespace {

struct fixture {
    test::odbc_connection mine{test::postgres_server::shared().odbc_connection_string("postgres")},
        others{test::postgres_server::shared().odbc_connection_string("postgres")};
};

BOOST_FIXTURE_TEST_CASE(it_is_there_until_it_is_closed, fixture) {
    const borrowed_handle h{mine.handle(), "test"};
    BOOST_TEST(h.still_there());
    (void)mine.sql("SELECT 1");
    BOOST_TEST(h.still_there());
    mine.disconnect();
    BOOST_TEST(!h.still_there());
    mine.connect();
    BOOST_TEST(!h.still_there());
}

BOOST_FIXTURE_TEST_CASE(what_is_not_connected_cannot_be_borrowed, fixture) {
    mine.disconnect();
    BOOST_CHECK_THROW((borrowed_handle{mine.handle(), "test"}), connection_error);
    mine.connect();
    BOOST_TEST((borrowed_handle{mine.handle(), "test"}.still_there()));
}

// The statement that marked it is freed by then, and another thread's may be in its place: to ask for anything of that,
// while it is freed as well, ends the process.
BOOST_FIXTURE_TEST_CASE(nothing_is_asked_of_what_closing_it_has_freed, fixture) {
    const borrowed_handle h{mine.handle(), "test"};
    const int before = asked_of_statements;
    BOOST_TEST(h.still_there());
    BOOST_TEST(asked_of_statements > before, "control");
    mine.disconnect();
    const int closed = asked_of_statements;
    BOOST_TEST(!h.still_there());
    BOOST_TEST(asked_of_statements == closed);
    mine.connect();
}

}  // namespace
}  // namespace rowlock::odbc
