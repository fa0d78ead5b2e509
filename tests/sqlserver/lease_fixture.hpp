#pragma once

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include <rowlock/rowlock.hpp>
#include <rowlock/sqlserver.hpp>

#include <support/sqlserver_connection.hpp>

namespace rowlock::test {

/// For tests that need a server which speaks TDS: skipped where none was named.
inline boost::test_tools::assertion_result has_sqlserver(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result there{sqlserver().has_value()};
    if (!there) there.message() << no_sqlserver;
    return there;
}

/// A schema of its own in the database that was named, dropped at the end.
struct lease_fixture {
    explicit lease_fixture(const std::string& schema_name) : schema{schema_name} {
        drop();
        sqlserver::migrate(*sqlserver(), settings());
    }
    ~lease_fixture() { drop(); }
    lease_fixture(const lease_fixture&) = delete;
    lease_fixture& operator=(const lease_fixture&) = delete;

    [[nodiscard]] options settings(options opt = {}) const {
        opt.schema = schema;
        // A session of Babelfish takes seconds of the processor to get going.
        opt.operation_timeout = std::max(opt.operation_timeout, std::chrono::milliseconds{60'000});
        return opt;
    }
    [[nodiscard]] provider open(options opt = {}) const {
        return sqlserver::leases(*sqlserver(), settings(std::move(opt)));
    }
    /// `{s}` is the schema.
    std::string sql(std::string text) {
        for (auto at = text.find("{s}"); at != std::string::npos; at = text.find("{s}"))
            text.replace(at, 3, "[" + schema + "]");
        return past.sql(text);
    }
    /// Ends all leases, past the library.
    void expire() {
        const std::string now =
            " SET expires_at = DATEADD(SECOND, -1, SYSUTCDATETIME()) WHERE expires_at > SYSUTCDATETIME();";
        (void)sql("UPDATE {s}.lock" + now + "UPDATE {s}.part" + now);
    }

    const std::string schema;
    sqlserver_connection past{*sqlserver()};

private:
    void drop() {
        for (const std::string table : {"lock", "part", "floor", "break", "migration"})
            (void)sql("DROP TABLE IF EXISTS {s}.[" + table + "]");
        if (sql("SELECT COUNT(*) FROM sys.schemas WHERE name = '" + schema + "'") != "0") (void)sql("DROP SCHEMA {s}");
    }
};

}  // namespace rowlock::test
