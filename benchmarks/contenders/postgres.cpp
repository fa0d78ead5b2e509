#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <pqxx/pqxx>
#include <rowlock/postgres.hpp>
#include <rowlock/rowlock.hpp>

#include "back_ends.hpp"
#include "library_client.hpp"
#include "raw_postgres.hpp"

namespace bench {
namespace {

// What the name's key is does not matter, as long as all clients of one name have the same.
std::int64_t key_of(const std::string& name) { return static_cast<std::int64_t>(std::hash<std::string>{}(name)); }

void set_owner(raw_postgres& session, const client_spec& s) {
    session.prepare("", "SELECT set_config('application_name', $1::text, false)");
    (void)session.execute("", s.owner);
}

// A lock as a program without Rowlock would write it: `pg_advisory_lock` over bare libpq. It waits in the server.
class advisory final : public client {
public:
    advisory(const std::string& conninfo, const client_spec& s, const std::string& shared)
        : session_{conninfo}, key_{key_of(s.lock)} {
        set_owner(session_, s);
        session_.prepare("lock", "SELECT pg_advisory_lock" + shared + "($1)");
        session_.prepare("unlock", "SELECT pg_advisory_unlock" + shared + "($1)");
    }
    void take() override { (void)session_.execute("lock", key_); }
    void give_back() override { (void)session_.execute("unlock", key_); }

private:
    raw_postgres session_;
    std::int64_t key_;
};

// The cheapest question that is one.
class select_parameter final : public client {
public:
    explicit select_parameter(const std::string& conninfo) : session_{conninfo} {
        session_.prepare("select", "SELECT $1::bigint");
    }
    void take() override { (void)session_.execute("select", std::int64_t{1}); }
    void give_back() override {}

private:
    raw_postgres session_;
};

// The least that tells whether a name is free.
class look final : public client {
public:
    look(const std::string& conninfo, std::string name) : session_{conninfo}, name_{std::move(name)} {
        session_.prepare("look", "SELECT expires_at <= clock_timestamp() FROM rowlock.lock WHERE name = $1::text");
    }
    void take() override { (void)session_.execute("look", name_); }
    void give_back() override {}

private:
    raw_postgres session_;
    const std::string name_;
};

struct lease_statements {
    std::string take{}, release{};
};

// What that owner's sessions ran last, if it looks like that: a renewal may have come in between.
std::string last_statement(raw_postgres& session, const std::string& owner, const std::string& pattern) {
    auto text = session.text("SELECT query FROM pg_stat_activity WHERE application_name = '" + owner +
                             "' AND query LIKE '%rowlock.lock%' AND query LIKE '" + pattern +
                             "' ORDER BY query_start DESC LIMIT 1");
    const auto room =
        std::stoul(session.text("SELECT setting FROM pg_settings WHERE name = 'track_activity_query_size'"));
    if (text.size() + 1 >= room) throw std::runtime_error{"set track_activity_query_size = 16384 on this server"};
    return text;
}

// The statements that the library runs for a lease, as the server saw them run.
lease_statements ask_for_statements(const std::string& conninfo) {
    raw_postgres session{conninfo};
    const auto owner = "rowlock-bench-" + std::to_string(getpid());
    auto locks = rowlock::postgres::leases(conninfo, {.owner = owner});
    rowlock::mutex m{locks, "rowlock-bench"};
    lease_statements found;
    for (int i = 0; found.take.empty() || found.release.empty(); ++i) {
        if (i == 100) throw std::runtime_error{"the server does not show the statements of a lease"};
        auto held = m.acquire();
        if (found.take.empty()) found.take = last_statement(session, owner, "%$9%");
        held.release();
        if (found.release.empty()) found.release = last_statement(session, owner, "%expires_at = %-infinity%$5%");
    }
    return found;
}

// They are the same for all clients, so the first one asks.
const lease_statements& statements_of(const std::string& conninfo) {
    static std::mutex guard;
    static std::map<std::string, lease_statements> known;
    const std::lock_guard lock{guard};
    auto at = known.find(conninfo);
    if (at == known.end()) at = known.emplace(conninfo, ask_for_statements(conninfo)).first;
    return at->second;
}

// A lease as those statements on bare libpq. No deadline, no owner to tell of a loss, no renewal, no events.
class same_statements final : public client {
public:
    same_statements(const std::string& conninfo, const std::string& name) : session_{conninfo}, name_{"bare " + name} {
        const auto& statements = statements_of(conninfo);
        session_.prepare("take", statements.take);
        session_.prepare("release", statements.release);
    }
    void take() override {
        const auto a =
            session_.execute("take", name_, provider, ++number_, owner_, ttl_ms, queue_key_, bell_key_, yes, no);
        if (PQgetisnull(a.get(), 0, 0) != 0) throw std::runtime_error{"a lease that nobody has was not granted"};
    }
    void give_back() override { (void)session_.execute("release", name_, provider, number_, yes, bell_key_); }

private:
    static constexpr std::int64_t provider = 1, ttl_ms = 30'000, yes = 1, no = 0;

    raw_postgres session_;
    const std::string name_;
    const std::string owner_ = "host.example.org:12345:rowlock-bench";
    const std::int64_t queue_key_ = key_of("queue of " + name_), bell_key_ = key_of("bell of " + name_);
    std::int64_t number_ = 0;
};

// A row with a fencing token, which one client at a time changes: an UPDATE that is committed to disk, and one that
// is not.
class row {
public:
    row(const std::string& conninfo, std::string name, const client_spec& s)
        : session_{conninfo}, name_{std::move(name)}, ttl_ms_{s.ttl_ms > 0 ? s.ttl_ms : 30'000} {
        set_owner(session_, s);
        session_.run(
            "SET client_min_messages = error; CREATE TABLE IF NOT EXISTS rowlock_bench"
            " (name text PRIMARY KEY, token bigint NOT NULL, expires_at timestamptz NOT NULL) WITH (fillfactor = 50)");
        session_.prepare("make", "INSERT INTO rowlock_bench VALUES ($1, 0, '-infinity') ON CONFLICT DO NOTHING");
        (void)session_.execute("make", name_);
        session_.prepare("take",
                         "UPDATE rowlock_bench SET token = token + 1,"
                         " expires_at = clock_timestamp() + $2::bigint * interval '1 millisecond'"
                         " WHERE name = $1 AND expires_at <= clock_timestamp() RETURNING token");
        session_.prepare("free",
                         "UPDATE rowlock_bench SET expires_at = '-infinity'"
                         " FROM (SELECT set_config('synchronous_commit', 'off', true) OFFSET 0) AS quick"
                         " WHERE name = $1");
    }
    bool take() { return PQntuples(session_.execute("take", name_, ttl_ms_).get()) > 0; }
    void take_when_free() {
        while (!take()) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    void give_back() { (void)session_.execute("free", name_); }
    raw_postgres& session() { return session_; }

private:
    raw_postgres session_;
    const std::string name_;
    const std::int64_t ttl_ms_;
};

// Queues at an advisory lock, then writes the row.
class queued_row final : public client {
public:
    queued_row(const std::string& conninfo, const client_spec& s)
        : row_{conninfo, "queued " + s.lock, s}, key_{key_of(s.lock)} {
        row_.session().prepare("lock", "SELECT pg_advisory_lock($1)");
        row_.session().prepare("unlock", "SELECT pg_advisory_unlock($1)");
    }
    void take() override {
        (void)row_.session().execute("lock", key_);
        row_.take_when_free();  // at once, unless a holder died with it
    }
    void give_back() override {
        row_.give_back();
        (void)row_.session().execute("unlock", key_);
    }

private:
    row row_;
    const std::int64_t key_;
};

// Asks for the row again every millisecond.
class polled_row final : public client {
public:
    polled_row(const std::string& conninfo, const client_spec& s) : row_{conninfo, "polled " + s.lock, s} {}
    void take() override { row_.take_when_free(); }
    void give_back() override { row_.give_back(); }

private:
    row row_;
};

class borrower final : public client {
public:
    borrower(const std::string& conninfo, const client_spec& s)
        : connection_{conninfo},
          locks_{library_client(rowlock::postgres::advisory_on(connection_, options_of(s)), s)} {}
    void take() override { locks_->take(); }
    void give_back() override { locks_->give_back(); }

private:
    pqxx::connection connection_;
    std::unique_ptr<client> locks_;
};

class monitor final : public server_monitor {
public:
    explicit monitor(const std::string& conninfo) : session_{conninfo} {}

    std::size_t connections(const std::string& owner) override {
        session_.prepare("", "SELECT count(*)::text FROM pg_stat_activity WHERE application_name = $1::text");
        return std::stoul(first(session_.execute("", owner)));
    }
    double statements_per_second(const std::string& owner, std::chrono::milliseconds time) override {
        std::set<std::string> seen;
        const auto look = [&] {
            session_.prepare("",
                             "SELECT pid || ' ' || query_start FROM pg_stat_activity"
                             " WHERE application_name = $1::text AND query_start IS NOT NULL");
            const auto rows = session_.execute("", owner);
            for (int i = 0; i < PQntuples(rows.get()); ++i) seen.insert(PQgetvalue(rows.get(), i, 0));
        };
        look();
        const auto before = seen.size();
        const auto until = std::chrono::steady_clock::now() + time;
        while (std::chrono::steady_clock::now() < until) {
            std::this_thread::sleep_for(std::chrono::milliseconds{20});
            look();
        }
        return static_cast<double>(seen.size() - before) / std::chrono::duration<double>{time}.count();
    }
    std::int64_t log_bytes() override {
        return std::stoll(session_.text("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"));
    }
    void cut_off(const std::string& owner) override {
        session_.prepare("",
                         "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                         " WHERE application_name = $1::text");
        (void)session_.execute("", owner);
    }
    wear worn(const std::string& schema) override {
        return {.table_bytes = std::stod(session_.text("SELECT pg_relation_size('" + schema + ".lock')")),
                .updates = counter(schema, "n_tup_upd"),
                .updates_in_place = counter(schema, "n_tup_hot_upd")};
    }
    void drop_schema(const std::string& schema) override {
        session_.run("SET client_min_messages = warning; DROP SCHEMA IF EXISTS " + schema + " CASCADE");
    }
    void wait_for_disk(bool yes) override {
        session_.run(yes ? "ALTER SYSTEM SET fsync = on" : "ALTER SYSTEM SET fsync = off");
        (void)session_.text("SELECT pg_reload_conf()");
    }
    std::string description() override {
        return "PostgreSQL " + session_.text("SHOW server_version") + ", fsync " + session_.text("SHOW fsync");
    }

private:
    double counter(const std::string& schema, const std::string& column) {
        return std::stod(session_.text("SELECT " + column + " FROM pg_stat_user_tables WHERE schemaname = '" + schema +
                                       "' AND relname = 'lock'"));
    }
    static std::string first(const raw_postgres::answer& a) { return PQgetvalue(a.get(), 0, 0); }

    raw_postgres session_;
};

std::string conninfo_of(const std::string& rest) { return rest.starts_with("//") ? "postgresql:" + rest : rest; }

}  // namespace

std::unique_ptr<client> postgres_advisory_baseline(const std::string& rest, const client_spec& s) {
    if (s.who != side::baseline) return nullptr;
    const auto conninfo = conninfo_of(rest);
    switch (s.what) {
        case work::mutex:
        case work::timed:
        case work::borrowed:
            return std::make_unique<advisory>(conninfo, s, "");
        case work::shared:
            return std::make_unique<advisory>(conninfo, s, "_shared");
        case work::busy:
            return std::make_unique<select_parameter>(conninfo);
        case work::upgrade:
        case work::semaphore:
            break;
    }
    return nullptr;
}

std::unique_ptr<client> postgres_lease_baseline(const std::string& rest, const client_spec& s) {
    const auto conninfo = conninfo_of(rest);
    if (s.who == side::polling) return s.what == work::mutex ? std::make_unique<polled_row>(conninfo, s) : nullptr;
    if (s.what == work::busy) return std::make_unique<look>(conninfo, s.lock);
    if (s.what != work::mutex && s.what != work::timed) return nullptr;
    if (s.contended) return std::make_unique<queued_row>(conninfo, s);
    return std::make_unique<same_statements>(conninfo, s.lock);
}

std::unique_ptr<client> postgres_advisory_borrowed(const std::string& rest, const client_spec& s) {
    return std::make_unique<borrower>(conninfo_of(rest), s);
}

std::unique_ptr<server_monitor> postgres_monitor(const std::string& rest) {
    return std::make_unique<monitor>(conninfo_of(rest));
}

}  // namespace bench
