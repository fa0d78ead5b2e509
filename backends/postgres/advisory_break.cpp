#include "advisory_break.hpp"

#include <algorithm>
#include <chrono>
#include <string>

#include "lock_key.hpp"

namespace rowlock::postgres {
namespace {

// $1 key of the name, $2 queue. Whoever holds the name in whatever mode shares or locks this key; so does the head of
// the queue for a permit, which holds its place there.
constexpr statement holders{"rowlock_holders", R"sql(
SELECT DISTINCT l.pid
FROM pg_locks AS l
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (l.classid::bigint << 32 | l.objid::bigint) = $1
  AND NOT EXISTS (SELECT FROM pg_locks AS q
                  WHERE q.locktype = 'advisory' AND q.objsubid = 1 AND q.granted AND q.pid = l.pid
                    AND q.database = l.database AND (q.classid::bigint << 32 | q.objid::bigint) = $2))sql"};

// $1 schema
constexpr statement has_tables{"rowlock_has_tables", R"sql(
SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = $1::text AND c.relname = 'break'))sql"};

// $1 process, $2 name, $3 reason, $4 by, $5 how long to wait for its end in ms. A session has neither token nor
// request: 0, and the process. One that does not end in time has been told to.
constexpr statement end_session{"rowlock_end_session", R"sql(
WITH ended AS MATERIALIZED (
  SELECT a.pid, coalesce(a.application_name, '') AS owner, pg_terminate_backend(a.pid, $5::bigint)
  FROM pg_stat_get_activity($1::bigint::integer) AS a
)
INSERT INTO rowlock.break (name, token, owner, provider, number, reason, broken_by)
SELECT $2::text, 0, owner, 0, pid, $3::text, $4::text FROM ended
RETURNING 1)sql"};

constexpr auto longest_end = std::chrono::milliseconds{2000};

}  // namespace

std::size_t advisory_break(session& s, std::string_view name, std::string_view reason, std::string_view by,
                           deadline d) {
    const auto keys = keys_of(name);
    const auto found = s.run(holders, d, keys.name, keys.queue);
    if (found.rows() == 0) return 0;
    std::string by_hand = "SELECT pg_terminate_backend(pid) FROM unnest(ARRAY[";
    for (int i = 0; i < found.rows(); ++i) by_hand += (i == 0 ? "" : ", ") + std::to_string(found.integer(i, 0));
    by_hand += "]) AS pid";
    error_context about{.lock_name = std::string{name}, .backend = std::string{s.backend()}};
    if (!s.run(has_tables, d, s.schema()).truth(0, 0))
        throw schema_error{
            "breaking a lock leaves a record, for which the tables are missing: run `rowlock migrate` "
            "first; or without a record: " +
                by_hand,
            about};
    std::size_t count = 0;
    try {
        const auto wait = std::min(std::chrono::ceil<std::chrono::milliseconds>(d.remaining()) / 2, longest_end);
        for (int i = 0; i < found.rows(); ++i)
            count += static_cast<std::size_t>(
                s.run(end_session, d, found.integer(i, 0), name, reason, by, std::int64_t{wait.count()}).rows());
    } catch (const error& e) {
        if (e.sqlstate() != sqlstate::insufficient_privilege) throw;
        about.sqlstate = e.sqlstate();
        throw connection_error{"this role may not end a session that holds the lock \"" + std::string{name} +
                                   "\", or not record it: connect as the same role, or as one with pg_signal_backend, "
                                   "that may INSERT into " +
                                   s.schema() + ".break; or let a superuser run: " + by_hand,
                               about};
    }
    return count;
}

}  // namespace rowlock::postgres
