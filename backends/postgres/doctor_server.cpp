#include "doctor_checks.hpp"

namespace rowlock::postgres {
namespace {

constexpr statement read_only{"rowlock_doctor_read_only", "SELECT current_setting('default_transaction_read_only')"};

// Of those that this server has, the ones that are on.
constexpr statement timeouts{"rowlock_doctor_timeouts", R"sql(
SELECT coalesce(string_agg(name || ' = ' || setting || ' ms', ', ' ORDER BY name), '')
FROM pg_catalog.pg_settings
WHERE name IN ('statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout',
               'idle_session_timeout') AND setting <> '0')sql"};

constexpr statement isolation{"rowlock_doctor_isolation", "SELECT current_setting('default_transaction_isolation')"};

constexpr statement durability{"rowlock_doctor_durability", R"sql(
SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'))sql"};

// Where a server process may not see more, the lag is null.
constexpr statement standbys{"rowlock_doctor_standbys", R"sql(
SELECT count(*), count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')),
       coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn))::bigint, 0),
       current_setting('synchronous_standby_names')
FROM pg_catalog.pg_stat_replication)sql"};

constexpr statement lock_table{"rowlock_doctor_locks", R"sql(
SELECT (SELECT count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory'),
       current_setting('max_locks_per_transaction')::bigint
         * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint))sql"};

// What keeps the versions of rows that were replaced since: transactions, prepared ones, slots.
constexpr statement snapshots{"rowlock_doctor_snapshots", R"sql(
SELECT age(xmin)::bigint, who
FROM (SELECT backend_xmin AS xmin, 'process ' || pid || ' (' || application_name || ', ' || usename || ')' AS who
      FROM pg_catalog.pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
      UNION ALL
      SELECT transaction, 'prepared transaction ' || gid FROM pg_catalog.pg_prepared_xacts
      UNION ALL
      SELECT xmin, 'replication slot ' || slot_name FROM pg_catalog.pg_replication_slots WHERE xmin IS NOT NULL) AS s
ORDER BY age(xmin) DESC LIMIT 1)sql"};

constexpr statement language{"rowlock_doctor_language",
                             "SELECT EXISTS (SELECT FROM pg_catalog.pg_language WHERE lanname = 'plpgsql')"};

constexpr statement keepalives{"rowlock_doctor_keepalives", R"sql(
SELECT current_setting('tcp_keepalives_idle')::bigint, current_setting('tcp_keepalives_interval')::bigint,
       current_setting('tcp_keepalives_count')::bigint,
       (SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'client_connection_check_interval'),
       inet_client_addr() IS NULL)sql"};

std::string number(std::int64_t n) { return std::to_string(n); }

}  // namespace

// 14 brought pg_locks.waitstart, client_connection_check_interval and a pg_terminate_backend that waits.
finding check_version(const examination& e) {
    const int version = e.s.server_version();
    auto found = "PostgreSQL " + number(version / 10000) + "." + number(version % 10000) + ", server process " +
                 number(e.s.announced_pid());
    if (version >= 140000) return good("connection", std::move(found));
    return {severity::problem, "connection", std::move(found), "use PostgreSQL 14 or newer"};
}

finding check_recovery(const examination& e) {
    if (!e.s.run_script("SELECT pg_catalog.pg_is_in_recovery()", e.d).bytes(0, 0).starts_with('t'))
        return good("standby", "no, this is a primary");
    return {severity::problem, "standby", "this is a standby: locks here would exclude nobody on the primary",
            "connect to the primary: add target_session_attrs=read-write to the connection string, and name all hosts"};
}

finding check_read_only(const examination& e) {
    if (e.s.run(read_only, e.d).bytes(0, 0) == "off") return good("read-only", "no");
    return {e.bad_for_leases(), "read-only", "default_transaction_read_only is on for this role or database",
            "leases are written: ALTER ROLE ... (or DATABASE ...) RESET default_transaction_read_only"};
}

finding check_timeouts(const examination& e) {
    const auto found = e.s.run(timeouts, e.d).text(0, 0);
    if (found.empty()) return good("timeouts", "none is on by default");
    return {severity::advice, "timeouts", found,
            "rowlock's own connections switch them off; on a connection of your program's they end waits, or the "
            "session that holds its locks: ALTER ROLE ... SET ... = 0 for it"};
}

finding check_isolation(const examination& e) {
    const auto found = e.s.run(isolation, e.d).text(0, 0);
    if (found == "read committed") return good("isolation", found);
    return {severity::advice, "isolation", found,
            "rowlock's own connections use read committed; in transactions of your program expect serialization "
            "failures (40001) at contended leases, and try those again"};
}

finding check_durability(const examination& e) {
    const auto row = e.s.run(durability, e.d);
    std::string off;
    if (row.bytes(0, 0) == "off") off = "fsync";
    if (row.bytes(0, 1) == "off") off += off.empty() ? "full_page_writes" : " and full_page_writes";
    if (!off.empty())
        return {e.bad_for_leases(), "durability",
                off + " is off: a crash can take leases and tokens back, or spoil them",
                "switch it on in postgresql.conf, and reload"};
    const auto commit = row.text(0, 2);
    if (commit != "off") return good("durability", "synchronous_commit = " + commit);
    return {severity::advice, "durability", "synchronous_commit is off by default",
            "rowlock's own connections switch it on; what your fenced transactions write can be lost in a crash while "
            "their tokens stay"};
}

finding check_standbys(const examination& e) {
    const auto row = e.s.run(standbys, e.d);
    const auto all = row.integer(0, 0), synchronous = row.integer(0, 1);
    if (all == 0) return good("standbys", "none is connected");
    const auto found = number(all) + " connected, " + number(synchronous) + " synchronous, " +
                       number(row.integer(0, 2)) + " bytes behind at most";
    if (synchronous > 0) return good("standbys", found);
    return {e.leases ? severity::advice : severity::good, "standbys", found,
            e.leases ? "a failover can lose the last leases, so that there are two holders, and give their tokens out "
                       "again: set synchronous_standby_names, or fence every write (which compares the owner, too)"
                     : ""};
}

finding check_lock_table(const examination& e) {
    const auto row = e.s.run(lock_table, e.d);
    const auto used = row.integer(0, 0), room = row.integer(0, 1);
    auto found = number(used) + " advisory locks, room for at least " + number(room);
    if (2 * used < room) return good("lock table", std::move(found));
    return {severity::problem, "lock table", std::move(found),
            "raise max_locks_per_transaction and restart the server: when it is full, locks fail for everybody, those "
            "of tables, too"};
}

// From how many newer transactions on it is felt: a name that was locked so often has a chain of that length.
finding check_snapshots(const examination& e) {
    constexpr std::int64_t felt = 1000;
    const auto row = e.s.run(snapshots, e.d);
    if (row.rows() == 0) return good("snapshots", "none but this one");
    auto found = "the oldest is " + number(row.integer(0, 0)) + " transactions old: " + row.text(0, 1);
    if (!e.leases || row.integer(0, 0) < felt) return good("snapshots", std::move(found));
    return {severity::advice, "snapshots", std::move(found),
            "end it if it hangs (pg_terminate_backend, ROLLBACK PREPARED, pg_drop_replication_slot): until then no old "
            "version of a lock's row can go, and a lease takes several times as long"};
}

finding check_language(const examination& e) {
    if (e.s.run(language, e.d).truth(0, 0)) return good("plpgsql", "there");
    return {severity::problem, "plpgsql", "missing: nobody can wait for a lock", "run: CREATE EXTENSION plpgsql"};
}

finding check_keepalives(const examination& e) {
    const auto row = e.s.run(keepalives, e.d);
    const auto check = row.integer(0, 3);
    const auto killed = "one killed while it waits within " + number(check) + " ms";
    if (check == 0)
        return {severity::advice, "vanished clients", "client_connection_check_interval cannot be set on this server",
                "who is killed while it waits keeps its place until it is its turn; rowlock run on Linux servers does "
                "better"};
    if (row.truth(0, 4)) return good("vanished clients", "a local socket; " + killed);
    const auto idle = row.integer(0, 0), interval = row.integer(0, 1), count = row.integer(0, 2);
    if (idle > 0 && interval > 0 && count > 0)
        return good("vanished clients",
                    "noticed within " + number(idle + interval * count) + " s by keepalives, " + killed);
    return {severity::advice, "vanished clients", "this server's system has no settable TCP keepalives",
            "a host that vanishes keeps its session's locks until the system gives up, often two hours: prefer leases"};
}

}  // namespace rowlock::postgres
