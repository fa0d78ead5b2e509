#pragma once

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include <rowlock/rowlock.hpp>
#include <rowlock/sqlserver.hpp>

#include <support/eventually.hpp>
#include <support/odbc_connection.hpp>
#include <support/postgres_server.hpp>

namespace rowlock::test {

/// Two connections that a program has already. With the argument "sqlserver" they go to the server that
/// ROWLOCK_TEST_SQLSERVER names; else to a stand-in: PostgreSQL with functions that answer the contract of applocks.
struct caller_fixture {
    /// Whether there is such a server; the reason otherwise.
    static boost::test_tools::assertion_result reachable(boost::unit_test::test_unit_id) {
        boost::test_tools::assertion_result yes{stand_in() || !named_server().empty()};
        if (!yes) yes.message() << "ROWLOCK_TEST_SQLSERVER does not name a server that speaks TDS";
        return yes;
    }
    static bool stand_in() {
        const auto& all = boost::unit_test::framework::master_test_suite();
        for (int i = 1; i < all.argc; ++i)
            if (std::string_view{all.argv[i]} == "sqlserver") return false;
        return true;
    }

    std::string to = stand_in() ? stand_in_connection_string() : named_server();
    odbc_connection mine{to}, theirs{to}, onlooker{to};
    provider others = sqlserver::applock(to);
    std::string my_session = session_of(mine);
    // Others may use the same server.
    std::string prefix = "t" + std::to_string(getpid()) + "_" + std::to_string(++count) + "_";
    std::string n = prefix + "n", m = prefix + "m", proof = prefix + "proof";

    caller_fixture() { (void)onlooker.sql("CREATE TABLE " + proof + " (x int)"); }
    ~caller_fixture() {
        try {
            (void)onlooker.sql("DROP TABLE " + proof);
        } catch (const std::exception&) {  // somebody's transaction still has it, or the server is gone
        }
    }

    [[nodiscard]] bool free(const std::string& name) { return others.try_acquire(name).has_value(); }
    /// Until the server says that `session` waits for a lock.
    [[nodiscard]] bool waiting(const std::string& session) {
        const auto asked = [&](const std::string& query) { return onlooker.sql(query + session) != "0"; };
        return eventually([&] {
            try {
                return asked(stand_in() ? "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid = "
                                        : "SELECT COUNT(*) FROM sys.dm_exec_requests WHERE wait_type LIKE 'LCK%' AND "
                                          "session_id = ");
            } catch (const std::exception&) {  // Babelfish has no such view, but PostgreSQL's own
                return asked(
                    "SELECT COUNT(*) FROM pg_catalog.pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = ");
            }
        });
    }
    [[nodiscard]] bool waiting() { return waiting(my_session); }

    static std::string session_of(odbc_connection& c) {
        return c.sql(stand_in() ? "SELECT pg_backend_pid()" : "SELECT @@SPID");
    }
    void kill(const std::string& session) {
        (void)onlooker.sql(stand_in() ? "SELECT pg_terminate_backend(" + session + ")" : "KILL " + session);
    }

    // The transaction takes statements, and what it does is there after its commit.
    void check_usable(odbc_connection& c) const { (void)c.sql("INSERT INTO " + proof + " VALUES (1)"); }
    std::string proofs() { return onlooker.sql("SELECT COUNT(*) FROM " + proof); }

private:
    static std::string named_server() {
        const char* const text = std::getenv("ROWLOCK_TEST_SQLSERVER");
        return text ? text : "";
    }
    static std::string stand_in_connection_string() {
        auto& server = postgres_server::shared();
        static const auto database = [&] {
            auto made = server.new_database();
            server.run_file(made, ROWLOCK_TEST_APPLOCK_STAND_IN);
            return made;
        }();
        return server.odbc_connection_string(database) + "UseServerSidePrepare=0;";  // see applock_in_transaction()
    }

    static inline int count = 0;
};

}  // namespace rowlock::test
