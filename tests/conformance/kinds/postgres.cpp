#include "kinds.hpp"

#include <random>

#include <libpq-fe.h>

#include <rowlock/schema.hpp>

#include <support/open_any.hpp>
#include <support/postgres_server.hpp>

namespace rowlock::conformance {
namespace {

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
    lease_store(std::string scheme, options opt) : postgres_store{std::move(scheme), std::move(opt)} {
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

}  // namespace

void add_postgres(kinds& all) {
    provider_kind advisory{.backend = "postgresql+advisory", .operates = false};
    advisory.name = "postgresql-advisory";
    advisory.make_store = make<advisory_store>("postgresql+advisory:");
    advisory.other_schemes = {"postgresql+advisory", "postgresql", "postgres"};
    all.push_back(advisory);
    advisory.other_schemes.clear();
    advisory.name = "postgresql-advisory-connection";
    advisory.make_store = make<advisory_store>("postgresql-advisory-connection:");
    all.push_back(advisory);
    advisory.name = "postgresql-advisory-fencing";
    advisory.make_store = make<advisory_store>("fencing:postgresql+advisory:");
    advisory.purges = true;
    all.push_back(advisory);

    provider_kind lease{.backend = "postgresql+lease", .sees_death = false};
    lease.name = "postgresql-lease";
    lease.make_store = make<lease_store>("postgresql+lease:");
    lease.other_schemes = {"postgresql+lease"};
    all.push_back(lease);
    lease.other_schemes.clear();
    lease.name = "postgresql-lease-connection";
    lease.make_store = make<lease_store>("postgresql-lease-connection:");
    all.push_back(lease);
    lease.name = "postgresql-lease-pooled";
    lease.make_store = make<pooled_lease_store>("postgresql+lease:");
    lease.has_sessions = false;
    all.push_back(lease);
}

}  // namespace rowlock::conformance
