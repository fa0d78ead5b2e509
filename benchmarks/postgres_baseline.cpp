#include "postgres_baseline.hpp"

#include <rowlock/postgres.hpp>
#include <rowlock/rowlock.hpp>

namespace bench {
namespace {

std::string last_statement_of(raw_postgres& db, const std::string& owner) {
    auto text = db.text("SELECT query FROM pg_stat_activity WHERE application_name = '" + owner +
                        "' AND query LIKE '%rowlock.lock%' ORDER BY query_start DESC LIMIT 1");
    const auto size = std::stoul(db.text("SELECT setting FROM pg_settings WHERE name = 'track_activity_query_size'"));
    if (text.size() + 1 >= size) throw std::runtime_error{"set track_activity_query_size = 16384 on this server"};
    return text;
}

}  // namespace

raw_lease::raw_lease(const std::string& conninfo) : session_{conninfo} {
    const std::string owner = "bench-statements";
    auto locks = rowlock::postgres::leases(conninfo, {.owner = owner});
    auto held = rowlock::mutex{locks, "statements"}.acquire();
    session_.prepare("take", last_statement_of(session_, owner));
    held.release();
    session_.prepare("release", last_statement_of(session_, owner));
    session_.prepare("look", "SELECT expires_at <= clock_timestamp() FROM rowlock.lock WHERE name = $1::text");
}

raw_row::raw_row(const std::string& conninfo, const std::string& table) : session_{conninfo} {
    session_.run(
        "SET client_min_messages = error; CREATE TABLE IF NOT EXISTS " + table +
        " (id integer PRIMARY KEY, token bigint NOT NULL, expires_at timestamptz NOT NULL) WITH (fillfactor = 50);"
        " INSERT INTO " +
        table + " VALUES (1, 0, '-infinity') ON CONFLICT DO NOTHING");
    session_.prepare("take", "UPDATE " + table +
                                 " SET token = token + 1, expires_at = clock_timestamp() + interval '30 s'"
                                 " WHERE id = 1 AND expires_at <= clock_timestamp() RETURNING token");
    session_.prepare("free", "UPDATE " + table +
                                 " SET expires_at = '-infinity'"
                                 " FROM (SELECT set_config('synchronous_commit', 'off', true) OFFSET 0) AS quick"
                                 " WHERE id = 1");
}

bool raw_row::take() { return PQntuples(session_.execute("take").get()) > 0; }

}  // namespace bench
