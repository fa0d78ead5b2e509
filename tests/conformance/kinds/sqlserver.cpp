#include "kinds.hpp"

#include <random>

#include <resource_name.hpp>
#include <rowlock/sqlserver.hpp>

#include <support/open_any.hpp>
#include <support/sqlserver_connection.hpp>

namespace rowlock::conformance {
namespace {

// A connection to it past the library.
test::sqlserver_connection& past_library() {
    static test::sqlserver_connection one{*test::sqlserver()};
    return one;
}

// A session of Babelfish takes seconds of the processor to get going. Where others have it, so does any answer: a
// session that does not say in time what came of a wait is given up, as it should be.
options with_patience(options opt) {
    opt.operation_timeout = std::max(opt.operation_timeout, std::chrono::milliseconds{60'000});
    return opt;
}

// A server that speaks TDS. Babelfish does not keep the applocks of databases apart, and in time spoils names that many
// take: so each case has names of its own.
class applock_store : public store {
public:
    applock_store(std::string scheme, options opt)
        : scheme_{std::move(scheme)}, options_{with_patience(std::move(opt))} {}
    provider open() override { return test::open_any(url(), options_); }
    std::string url() const override { return "prefixed:" + prefix_ + ":" + scheme_ + *test::sqlserver(); }
    std::string own_prefix() const override { return prefix_; }
    // What another session could have tells what there is; who shares is one.
    int holders_in_database(std::string_view name) override {
        const auto full = prefix_ + std::string{name};
        const auto resource = sqlserver::resource_of(full);
        if (past_library().is_free(resource)) return 0;
        if (!past_library().is_free(resource, "IntentExclusive")) return 1;
        int permits = 0;
        for (std::uint32_t i = 0; i < 8; ++i) permits += !past_library().is_free(sqlserver::permit_of(full, i));
        return permits;
    }

private:
    const std::string prefix_ = std::to_string(std::random_device{}() | 0x80000000U);  // always ten digits
    const std::string scheme_;
    const options options_;
};

// The rowlock tables of that server: runs that use the same ones take turns. What earlier cases left there is removed.
class turn_at_tables {
public:
    turn_at_tables() {
        sqlserver::migrate(*test::sqlserver());
        (void)past_library().sql(
            "EXEC sp_getapplock @Resource = 'rowlock conformance', @LockMode = 'Exclusive', @LockOwner = 'Session'");
        (void)past_library().sql("DELETE FROM [rowlock].part; DELETE FROM [rowlock].lock");
    }
    ~turn_at_tables() {
        (void)past_library().sql("EXEC sp_releaseapplock @Resource = 'rowlock conformance', @LockOwner = 'Session'");
    }
    turn_at_tables(const turn_at_tables&) = delete;
    turn_at_tables& operator=(const turn_at_tables&) = delete;
};

class fenced_applock_store final : public applock_store {
public:
    using applock_store::applock_store;

private:
    const turn_at_tables turn_{};
};

class sqlserver_lease_store final : public store {
public:
    sqlserver_lease_store(std::string scheme, options opt)
        : scheme_{std::move(scheme)}, options_{with_patience(std::move(opt))} {}
    provider open() override { return test::open_any(url(), options_); }
    std::string url() const override { return scheme_ + *test::sqlserver(); }
    int holders_in_database(std::string_view name) override {
        const auto those = " WHERE name_key = " + test::bytes_literal(name) + " AND expires_at > SYSUTCDATETIME()";
        return std::stoi(past_library().sql("SELECT (SELECT COUNT(*) FROM [rowlock].lock" + those +
                                            ") + (SELECT COUNT(*) FROM [rowlock].part" + those + ")"));
    }
    // As Babelfish has it. The head of the queue holds it, and waits for the bell if that tells; those behind wait for
    // the queue. Who waits for its turn to use the store waits for what this session holds.
    std::optional<std::size_t> waiters_in_database(std::string_view name) override {
        if (scheme_ != "sqlserver+lease:") return std::nullopt;
        const std::string waits =
            "SELECT COUNT(*) FROM pg_catalog.pg_locks AS w INNER JOIN sys.dm_exec_sessions AS s ON s.session_id = "
            "w.pid "
            "WHERE w.locktype = 'advisory' AND w.waitstart IS NOT NULL AND s.database_id = DB_ID() "
            "AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_locks AS m "
            "WHERE m.pid = @@SPID AND m.locktype = 'advisory' AND m.objsubid = w.objsubid "
            "AND m.classid = w.classid AND m.objid = w.objid)";
        const std::string by_the_head =
            " AND EXISTS (SELECT 1 FROM pg_catalog.pg_locks AS h WHERE h.pid = w.pid AND h.locktype = 'advisory' "
            "AND h.objsubid = w.objsubid AND h.waitstart IS NULL)";
        const bool head = !past_library().is_free(sqlserver::lease_keys_of("rowlock", name).queue);
        const bool head_waits = past_library().sql(waits + by_the_head) != "0";
        const auto upgrading = std::stoul(past_library().sql(
            "SELECT COUNT(*) FROM [rowlock].lock WHERE upgrading_until > SYSUTCDATETIME() AND name_key = " +
            test::bytes_literal(name)));
        return std::stoul(past_library().sql(waits)) + (head && !head_waits ? 1U : 0U) + upgrading;
    }
    bool expire(std::string_view name) override {
        const auto now =
            " SET expires_at = DATEADD(SECOND, -1, SYSUTCDATETIME()) WHERE expires_at > SYSUTCDATETIME() "
            "AND name_key = " +
            test::bytes_literal(name);
        (void)past_library().sql("UPDATE [rowlock].lock" + now + "; UPDATE [rowlock].part" + now);
        return true;
    }

private:
    const turn_at_tables turn_{};
    const std::string scheme_;
    const options options_;
};

}  // namespace

void add_sqlserver(kinds& all) {
    if (!test::sqlserver()) return;
    provider_kind applock{
        .backend = "sqlserver+applock", .inspects = false, .operates = false, .counts_permits = false};
    applock.name = "sqlserver-applock";
    applock.make_store = make<applock_store>("sqlserver+applock:");
    applock.other_schemes = {"sqlserver+applock", "sqlserver"};
    all.push_back(applock);
    applock.other_schemes.clear();
    applock.name = "sqlserver-applock-connection";
    applock.make_store = make<applock_store>("sqlserver-applock-connection:");
    all.push_back(applock);
    applock.name = "sqlserver-applock-fencing";
    applock.make_store = make<fenced_applock_store>("fencing:sqlserver+applock:");
    applock.purges = true;
    all.push_back(applock);

    provider_kind lease{.backend = "sqlserver+lease", .sees_death = false, .has_sessions = false};
    lease.name = "sqlserver-lease";
    lease.make_store = make<sqlserver_lease_store>("sqlserver+lease:");
    lease.other_schemes = {"sqlserver+lease"};
    lease.short_ttl = std::chrono::seconds{2};
    all.push_back(lease);
    lease.other_schemes.clear();
    lease.name = "sqlserver-lease-connection";
    lease.make_store = make<sqlserver_lease_store>("sqlserver-lease-connection:");
    all.push_back(lease);
}

void add_absent_sqlserver(std::vector<absent_kind>& all) {
    all.push_back({"sqlserver-applock-stand-in-fencing", "the stand-in has no T-SQL, which tokens are written with"});
    if (test::sqlserver()) return;
    for (const auto* name : {"sqlserver-applock", "sqlserver-applock-connection", "sqlserver-applock-fencing",
                             "sqlserver-lease-connection"})
        all.push_back({name, test::no_sqlserver});
    all.push_back({"sqlserver-lease", test::no_sqlserver, {"sqlserver+lease"}});
}

}  // namespace rowlock::conformance
