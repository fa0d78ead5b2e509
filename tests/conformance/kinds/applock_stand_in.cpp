#include "kinds.hpp"

#include <support/open_any.hpp>
#include <support/postgres_server.hpp>

namespace rowlock::conformance {
namespace {

// Not SQL Server: a PostgreSQL server that answers the contract of its applocks, through psqlODBC.
class applock_stand_in_store final : public store {
public:
    applock_stand_in_store(std::string scheme, options opt) : scheme_{std::move(scheme)}, options_{std::move(opt)} {}
    provider open() override { return test::open_any(url(), options_); }
    std::string url() const override {
        return scheme_ + test::postgres_server::shared().odbc_connection_string(database());
    }
    // Exclusive and upgrade locks, shares, and permits: exclusive locks of sessions that are users of the name.
    int holders_in_database(std::string_view name) override {
        auto quoted = std::string{name};
        for (auto at = quoted.find('\''); at != std::string::npos; at = quoted.find('\'', at + 2))
            quoted.insert(at, 1, '\'');
        const auto count =
            "WITH held AS (SELECT pid, mode, classid::bigint << 32 | objid::bigint AS key FROM pg_locks "
            "WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())), "
            "k AS (SELECT part, applock_key('" +
            quoted +
            "', part) AS key "
            "FROM unnest('{main,sharers,users,update}'::text[]) AS part) "
            "SELECT (SELECT count(DISTINCT pid) FROM held NATURAL JOIN k WHERE part = 'sharers' "
            "OR part = 'main' AND mode = 'ExclusiveLock') + "
            "(SELECT count(*) FROM held WHERE mode = 'ExclusiveLock' "
            "AND pid IN (SELECT pid FROM held NATURAL JOIN k WHERE part = 'users'))";
        return std::stoi(test::postgres_server::shared().sql(database(), count));
    }

private:
    static const std::string& database() {
        static const auto name = [] {
            auto made = test::postgres_server::shared().new_database();
            test::postgres_server::shared().run_file(made, ROWLOCK_TEST_APPLOCK_STAND_IN);
            return made;
        }();
        return name;
    }

    const std::string scheme_;
    const options options_;
};

}  // namespace

void add_applock_stand_in(kinds& all) {
    provider_kind stand_in{.backend = "sqlserver+applock", .inspects = false, .operates = false};
    stand_in.counts_readers = true;
    stand_in.name = "sqlserver-applock-stand-in";
    stand_in.make_store = make<applock_stand_in_store>("sqlserver+applock:");
    stand_in.other_schemes = {"sqlserver+applock", "sqlserver"};
    all.push_back(stand_in);
    stand_in.other_schemes.clear();
    stand_in.name = "sqlserver-applock-stand-in-connection";
    stand_in.make_store = make<applock_stand_in_store>("sqlserver-applock-connection:");
    all.push_back(stand_in);
}

}  // namespace rowlock::conformance
