#include "provider_kind.hpp"

#include <random>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <rowlock/memory.hpp>

#include <support/open_any.hpp>
#include <support/temp_dir.hpp>
#ifdef ROWLOCK_HAVE_POSTGRES
#include <libpq-fe.h>
#include <rowlock/schema.hpp>
#include <support/postgres_server.hpp>
#endif
#ifdef ROWLOCK_HAVE_SQLSERVER
#include <resource_name.hpp>
#include <rowlock/sqlserver.hpp>
#include <support/sqlserver_connection.hpp>
#endif
#ifdef ROWLOCK_HAVE_SQLITE
#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>
#include <rowlock/sqlite.hpp>
#endif

namespace rowlock::conformance {
namespace {

class memory_store final : public store {
public:
    explicit memory_store(options opt) : locks_{open_any_memory(std::move(opt))} {}
    provider open() override { return locks_; }
    // The map of names is the database here, and status() shows it as it is.
    int holders_in_database(std::string_view name) override {
        for (const auto& s : locks_.status(name))
            if (s.name == name) return static_cast<int>(s.holders.size());
        return 0;
    }

private:
    static provider open_any_memory(options opt) { return test::open_any("memory:", std::move(opt)); }
    provider locks_;
};

#ifdef ROWLOCK_HAVE_SQLITE
class sqlite_store final : public store {
public:
    sqlite_store(std::string scheme, options opt)
        : url_{std::move(scheme) + file().string()}, options_{std::move(opt)} {
        sqlite::migrate(file());
    }
    provider open() override { return test::open_any(url_, options_); }
    std::string url() const override { return url_; }
    int holders_in_database(std::string_view name) override {
        SQLite::Database db{file().string(), SQLite::OPEN_READONLY, 5000};
        SQLite::Statement count{db, "SELECT count(*) FROM rowlock_lease WHERE name = ? AND turn = 0"};
        count.bind(1, std::string{name});
        return count.executeStep() ? count.getColumn(0).getInt() : -1;
    }
    bool expire(std::string_view name) override {
        SQLite::Database db{file().string(), SQLite::OPEN_READWRITE, 5000};
        SQLite::Statement end{db, "UPDATE rowlock_lease SET expires_at_us = 1 WHERE name = ? AND turn = 0"};
        end.bind(1, std::string{name});
        end.exec();
        return true;
    }

private:
    std::filesystem::path file() const { return directory_ / "locks.db"; }

    test::temp_dir directory_;
    const std::string url_;
    const options options_;
};
#endif

#ifdef ROWLOCK_HAVE_POSTGRES
// A database for each provider under test; what earlier cases left in it is removed.
class postgres_store : public store {
public:
    postgres_store(std::string scheme, options opt) : scheme_{std::move(scheme)}, options_{std::move(opt)} {
        (void)sql("WITH l AS (DELETE FROM rowlock.lock), p AS (DELETE FROM rowlock.part) SELECT 1");
    }
    provider open() override { return test::open_any(url(), options_); }
    std::string url() const override { return scheme_ + rest(); }

protected:
    static const std::string& database() {
        static const auto name = test::postgres_server::shared().new_database();
        return name;
    }
    // Of the URL, behind the scheme.
    virtual const std::string& rest() const { return direct(); }
    static const std::string& direct() {
        static const auto text = [] {
            auto& server = test::postgres_server::shared();
            auto uri = server.uri(database());
            rowlock::open_schema("postgresql:" + uri).migrate();
            return uri;
        }();
        return text;
    }
    static std::string sql(const char* text, std::string_view name = {}) {
        const std::unique_ptr<PGconn, decltype(&PQfinish)> c{PQconnectdb(("postgresql:" + direct()).c_str()),
                                                             &PQfinish};
        const std::string copy{name};
        const char* const value = copy.c_str();
        const std::unique_ptr<PGresult, decltype(&PQclear)> r{
            PQexecParams(c.get(), text, name.data() ? 1 : 0, nullptr, &value, nullptr, nullptr, 0), &PQclear};
        if (PQresultStatus(r.get()) != PGRES_TUPLES_OK) throw std::runtime_error{PQerrorMessage(c.get())};
        return PQntuples(r.get()) == 0 ? std::string{} : PQgetvalue(r.get(), 0, 0);
    }

private:
    const std::string scheme_;
    const options options_;
};

class advisory_store final : public postgres_store {
public:
    advisory_store(std::string scheme, options opt) : postgres_store{std::move(scheme), std::move(opt)} {}
    // By the documented keys, computed by the server: exclusive locks of the name, shares, and permits.
    int holders_in_database(std::string_view name) override {
        return std::stoi(sql(R"sql(
            WITH words (word) AS (VALUES (''), ('sharers'), ('place')), keys AS (
              SELECT word, ('x' || encode(substring(sha256(convert_to($1::text, 'UTF8') ||
                CASE word WHEN '' THEN ''::bytea ELSE '\x00'::bytea || convert_to(word, 'UTF8') END) FOR 8), 'hex')
                )::bit(64)::bigint AS key FROM words)
            SELECT count(*) FROM pg_locks AS l, keys AS k
            WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND CASE k.word
                WHEN '' THEN (l.classid::bigint << 32 | l.objid::bigint) = k.key AND l.mode = 'ExclusiveLock'
                WHEN 'sharers' THEN (l.classid::bigint << 32 | l.objid::bigint) = k.key AND l.mode = 'ShareLock'
                ELSE (l.classid::bigint << 32 | l.objid::bigint)::numeric - k.key BETWEEN 0 AND 2147483646 END)sql",
                             name));
    }
};

class lease_store : public postgres_store {
public:
    explicit lease_store(options opt, std::string scheme = "postgresql+lease:")
        : postgres_store{std::move(scheme), std::move(opt)} {
        (void)sql("WITH l AS (DELETE FROM rowlock.lock), p AS (DELETE FROM rowlock.part) SELECT 1");
    }
    int holders_in_database(std::string_view name) override {
        return std::stoi(
            sql("SELECT (SELECT count(*) FROM rowlock.lock WHERE name = $1::text AND expires_at > now()) + "
                "(SELECT count(*) FROM rowlock.part WHERE name = $1 AND expires_at > now())",
                name));
    }
    std::string contents() override {
        return sql(
            "SELECT 'At ' || clock_timestamp() || E' there are\\n' || string_agg(row, E'\\n') FROM ("
            "SELECT l::text AS row FROM rowlock.lock AS l UNION ALL "
            "SELECT p::text FROM rowlock.part AS p UNION ALL "
            "(SELECT b::text FROM rowlock.break AS b ORDER BY id DESC LIMIT 5) UNION ALL "
            "SELECT concat_ws(' ', pid, state, xact_start, wait_event, left(query, 60)) FROM pg_stat_activity "
            "WHERE datname = current_database()) AS rows");
    }
    // A renewal that locks the same rows does so in an order of its own, and one of both is ended as a deadlock.
    bool expire(std::string_view name) override {
        for (int tries = 1;; ++tries) {
            try {
                (void)sql(
                    "WITH l AS (UPDATE rowlock.lock SET expires_at = now() - interval '1 second' "
                    "           WHERE name = $1::text AND expires_at > now()), "
                    "p AS (UPDATE rowlock.part SET expires_at = now() - interval '1 second' "
                    "      WHERE name = $1 AND provider IS NOT NULL) SELECT 1",
                    name);
                return true;
            } catch (const std::runtime_error&) {
                if (tries == 5) throw;
            }
        }
    }
};

#ifdef ROWLOCK_HAVE_SQLSERVER
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
#endif

// Through a pooler that gives every transaction another session.
class pooled_lease_store final : public lease_store {
public:
    using lease_store::lease_store;

private:
    const std::string& rest() const override {
        static const auto text = test::postgres_server::shared().pooler_uri("transaction", database());
        return text;
    }
};
#endif

#ifdef ROWLOCK_HAVE_SQLSERVER
// A connection to it past the library.
test::sqlserver_connection& past_library() {
    static test::sqlserver_connection one{*test::sqlserver()};
    return one;
}

// A server that speaks TDS. Babelfish does not keep the applocks of databases apart, and in time spoils names that many
// take: so each case has names of its own.
class applock_store : public store {
public:
    explicit applock_store(options opt, std::string scheme = "sqlserver+applock:")
        : scheme_{std::move(scheme)}, options_{std::move(opt)} {}
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
    explicit fenced_applock_store(options opt) : applock_store{std::move(opt), "fencing:sqlserver+applock:"} {}

private:
    const turn_at_tables turn_{};
};

class sqlserver_lease_store final : public store {
public:
    explicit sqlserver_lease_store(options opt, std::string scheme = queued)
        : scheme_{std::move(scheme)}, options_{std::move(opt)} {
        // A session of Babelfish takes seconds of the processor to get going.
        options_.operation_timeout = std::max(options_.operation_timeout, std::chrono::milliseconds{60'000});
    }
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
        if (scheme_ != queued) return std::nullopt;
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
    static constexpr auto queued = "sqlserver+lease:";
    const turn_at_tables turn_{};
    const std::string scheme_;
    options options_;
};
#endif

#if __has_include(<examples/flock_backend.hpp>)
#define ROWLOCK_TEST_FLOCK
class flock_store final : public store {
public:
    explicit flock_store(options opt) : options_{std::move(opt)} {}
    provider open() override { return test::open_any(url(), options_); }
    std::string url() const override { return "flock:" + directory_.path().string(); }
    // Counts the files below its directory that somebody has locked; the names are the back end's own affair, and those
    // who share a lock are one.
    int holders_in_database(std::string_view) override {
        int locked = 0;
        for (const auto& entry : std::filesystem::recursive_directory_iterator{directory_.path()}) {
            if (!entry.is_regular_file()) continue;
            const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
            locked += ::flock(fd, LOCK_EX | LOCK_NB) != 0;
            close(fd);
        }
        return locked;
    }

private:
    const test::temp_dir directory_;
    const options options_;
};
#endif

}  // namespace

std::vector<provider_kind> provider_kinds() {
    std::vector<provider_kind> all;
    all.push_back(
        {"memory", "memory", true, true, true, [](options o) { return std::make_unique<memory_store>(std::move(o)); }});
#ifdef ROWLOCK_HAVE_SQLITE
    for (const std::string name : {"sqlite", "sqlite-connection"})
        all.push_back({name, "sqlite", true, true, true,
                       [name](options o) { return std::make_unique<sqlite_store>(name + ":", std::move(o)); }});
#endif
#ifdef ROWLOCK_TEST_FLOCK
    all.push_back(
        {"flock", "flock", false, false, true, [](options o) { return std::make_unique<flock_store>(std::move(o)); }});
#endif
#ifdef ROWLOCK_HAVE_POSTGRES
    all.push_back({"postgresql-advisory",
                   "postgresql+advisory",
                   true,
                   false,
                   true,
                   [](options o) { return std::make_unique<advisory_store>("postgresql+advisory:", std::move(o)); },
                   {"postgresql+advisory", "postgresql", "postgres"}});
    all.push_back(
        {"postgresql-advisory-fencing",
         "postgresql+advisory",
         true,
         false,
         true,
         [](options o) { return std::make_unique<advisory_store>("fencing:postgresql+advisory:", std::move(o)); },
         {},
         true,
         true});
    all.push_back({"postgresql-lease",
                   "postgresql+lease",
                   true,
                   true,
                   false,
                   [](options o) { return std::make_unique<lease_store>(std::move(o)); },
                   {"postgresql+lease"}});
    all.push_back({"postgresql-lease-pooled",
                   "postgresql+lease",
                   true,
                   true,
                   false,
                   [](options o) { return std::make_unique<pooled_lease_store>(std::move(o)); },
                   {},
                   false});
#ifdef ROWLOCK_HAVE_SQLSERVER
    all.push_back(
        {"sqlserver-applock-stand-in",
         "sqlserver+applock",
         false,
         false,
         true,
         [](options o) { return std::make_unique<applock_stand_in_store>("sqlserver+applock:", std::move(o)); },
         {"sqlserver+applock", "sqlserver"},
         true,
         false,
         true});
#endif
    // Through a connection that the program has already.
    all.push_back({"postgresql-advisory-connection", "postgresql+advisory", true, false, true, [](options o) {
                       return std::make_unique<advisory_store>("postgresql-advisory-connection:", std::move(o));
                   }});
    all.push_back({"postgresql-lease-connection", "postgresql+lease", true, true, false, [](options o) {
                       return std::make_unique<lease_store>(std::move(o), "postgresql-lease-connection:");
                   }});
#endif
#ifdef ROWLOCK_HAVE_SQLSERVER
#ifdef ROWLOCK_HAVE_POSTGRES
    all.push_back({"sqlserver-applock-stand-in-connection",
                   "sqlserver+applock",
                   false,
                   false,
                   true,
                   [](options o) {
                       return std::make_unique<applock_stand_in_store>("sqlserver-applock-connection:", std::move(o));
                   },
                   {},
                   true,
                   false,
                   true});
#endif
    if (test::sqlserver())
        all.push_back(
            {"sqlserver-applock-connection",
             "sqlserver+applock",
             false,
             false,
             true,
             [](options o) { return std::make_unique<applock_store>(std::move(o), "sqlserver-applock-connection:"); },
             {},
             true,
             false,
             false,
             false});
    if (test::sqlserver())
        all.push_back({"sqlserver-lease",
                       "sqlserver+lease",
                       true,
                       true,
                       false,
                       [](options o) { return std::make_unique<sqlserver_lease_store>(std::move(o)); },
                       {"sqlserver+lease"},
                       false,
                       true,
                       true,
                       true,
                       std::chrono::seconds{2}});
    if (test::sqlserver())
        all.push_back({"sqlserver-lease-connection",
                       "sqlserver+lease",
                       true,
                       true,
                       false,
                       [](options o) {
                           return std::make_unique<sqlserver_lease_store>(std::move(o), "sqlserver-lease-connection:");
                       },
                       {},
                       false});
    if (test::sqlserver())
        all.push_back({"sqlserver-applock",
                       "sqlserver+applock",
                       false,
                       false,
                       true,
                       [](options o) { return std::make_unique<applock_store>(std::move(o)); },
                       {"sqlserver+applock", "sqlserver"},
                       true,
                       false,
                       false,
                       false});
    if (test::sqlserver())
        all.push_back({"sqlserver-applock-fencing",
                       "sqlserver+applock",
                       false,
                       false,
                       true,
                       [](options o) { return std::make_unique<fenced_applock_store>(std::move(o)); },
                       {},
                       true,
                       true,
                       false,
                       false});
#endif
    return all;
}

std::vector<absent_kind> absent_kinds() {
    std::vector<absent_kind> all;
#ifdef ROWLOCK_HAVE_SQLSERVER
    if (!test::sqlserver()) {
        for (const auto* name : {"sqlserver-applock", "sqlserver-applock-connection", "sqlserver-applock-fencing",
                                 "sqlserver-lease-connection"})
            all.push_back({name, test::no_sqlserver});
        all.push_back({"sqlserver-lease", test::no_sqlserver, {"sqlserver+lease"}});
    }
    all.push_back({"sqlserver-applock-stand-in-fencing", "the stand-in has no T-SQL, which tokens are written with"});
#endif
    return all;
}

}  // namespace rowlock::conformance
