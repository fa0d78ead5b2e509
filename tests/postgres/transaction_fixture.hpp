#pragma once

#include <string>

#include <pqxx/pqxx>

#include <rowlock/postgres.hpp>

#include <support/eventually.hpp>
#include <support/postgres_server.hpp>

namespace rowlock::test {

struct transaction_fixture {
    postgres_server& server = postgres_server::shared();
    std::string database = server.new_database();
    std::string conninfo = server.conninfo(database);
    pqxx::connection mine{conninfo}, theirs{conninfo};

    transaction_fixture() { (void)server.new_complaints(); }

    std::string sql(const std::string& text) const { return server.sql(database, text); }
    // How many locks are granted, and for how many somebody waits.
    std::string locks() const {
        return sql(
            "SELECT count(*) FILTER (WHERE granted), count(*) FILTER (WHERE NOT granted) FROM pg_locks "
            "WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = "
            "current_database())");
    }
    bool waiting() const {
        return eventually([&] { return locks().ends_with("|1"); });
    }
    static bool free(pqxx::connection& c, const char* name = "n") {
        pqxx::work tx{c};
        return rowlock::postgres::try_lock(tx, name);
    }
};

// The transaction takes statements, and what it does is there after its commit.
inline void check_usable(pqxx::work& tx) {
    tx.exec("CREATE TABLE IF NOT EXISTS proof (x int)");
    tx.exec("INSERT INTO proof VALUES (1)");
}

}  // namespace rowlock::test
