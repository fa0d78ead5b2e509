#include "fenced_sql.hpp"

#include <functional>
#include <string>

#include <joined.hpp>

namespace rowlock::postgres::fenced_sql {
namespace {

using detail::joined;

// How each kind of lock is tried for: `got.granted` says whether all of $1 were, in locks of the transaction.
//
// $1 names, $2 keys. Goes from one to the next, and no further than the first one that is busy.
constexpr std::string_view try_exclusive = R"sql(
WITH RECURSIVE step (i, granted) AS (
  SELECT 0, true
  UNION ALL
  SELECT i + 1, pg_try_advisory_xact_lock(($2::bigint[])[i + 1]) FROM step WHERE granted AND i < cardinality($2)
), got AS MATERIALIZED (
  SELECT bool_and(granted) AS granted, count(*) FILTER (WHERE granted) - 1 AS n FROM step
))sql";

// $1 names, $2 name, $3 sharers, $4 users; see advisory_sql.cpp. The look ends at once, not with the transaction.
constexpr std::string_view try_shared = R"sql(
WITH got AS MATERIALIZED (
  SELECT CASE WHEN NOT pg_try_advisory_xact_lock_shared($2) THEN false
              WHEN pg_advisory_xact_lock_shared($3) IS NOT NULL AND pg_try_advisory_lock($4)
                THEN pg_advisory_unlock($4)
              ELSE NOT EXISTS (SELECT FROM pg_locks
                               WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ShareLock' AND granted
                                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                                 AND (classid::bigint << 32 | objid::bigint) = $4) END AS granted
))sql";

// $1 names, $2 name, $3 sharers
constexpr std::string_view try_shared_again = R"sql(
WITH got AS MATERIALIZED (
  SELECT CASE WHEN EXISTS (SELECT FROM pg_locks
                           WHERE locktype = 'advisory' AND objsubid = 1 AND NOT granted
                             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                             AND (classid::bigint << 32 | objid::bigint) = $2) THEN false
              ELSE pg_try_advisory_xact_lock_shared($2) AND pg_advisory_xact_lock_shared($3) IS NOT NULL END AS granted
))sql";

// $1 names, $2 name, $3 sharers, $4 users, $5 queue, $6 the keys of permits
constexpr std::string_view try_permit = R"sql(
WITH got AS MATERIALIZED (
  SELECT taken.permit, taken.permit IS NOT NULL AS granted
  FROM (SELECT CASE WHEN NOT pg_try_advisory_lock_shared($5) THEN false
                    WHEN pg_advisory_unlock_shared($5) AND NOT pg_try_advisory_xact_lock_shared($2) THEN false
                    WHEN pg_advisory_xact_lock_shared($4) IS NOT NULL AND pg_try_advisory_lock($3)
                      THEN pg_advisory_unlock($3)
                    ELSE NOT EXISTS (SELECT FROM pg_locks
                                     WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ShareLock' AND granted
                                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                                       AND (classid::bigint << 32 | objid::bigint) = $3) END AS is_open
        OFFSET 0) AS gate
       LEFT JOIN LATERAL (SELECT permit FROM unnest($6::bigint[]) AS all_permits (permit)
                          WHERE CASE WHEN gate.is_open THEN pg_try_advisory_xact_lock(permit) ELSE false END
                          LIMIT 1) AS taken ON true
))sql";

// $1 names. After a wait.
constexpr std::string_view got_already = "WITH got AS MATERIALIZED (SELECT true AS granted)";

// The tokens of $1, if granted; a busy try does not even look at the table. The commit is a synchronous one, since a
// token that a crash takes back would be given out again; remote_apply is stronger and stays.
//
// A name without a row starts above the floor, which is read under a lock: when the statement began, a purge may have
// been under way that deletes the row and raises the floor. LIMIT tells the planner that there is only one row.
constexpr std::string_view raise_tokens = R"sql(, allowed AS MATERIALIZED (
  SELECT CASE WHEN granted THEN set_config('synchronous_commit',
                CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
                true) IS NOT NULL END AS yes
  FROM got
), raised AS (
  UPDATE rowlock.lock AS l SET token = l.token + 1, granted_at = clock_timestamp()
  WHERE l.name = ANY ($1::text[]) AND (SELECT yes FROM allowed)
  RETURNING l.name, l.token
), new AS MATERIALIZED (
  SELECT n.name, n.nr FROM unnest($1) WITH ORDINALITY AS n (name, nr)
  WHERE (SELECT yes FROM allowed) AND n.name NOT IN (SELECT name FROM raised)
), base AS MATERIALIZED (
  SELECT f.token FROM rowlock.floor AS f WHERE EXISTS (SELECT FROM new) LIMIT 1 FOR SHARE
), made AS (
  INSERT INTO rowlock.lock AS l (name, token, granted_at)
  SELECT n.name, b.token + 1, clock_timestamp() FROM new AS n CROSS JOIN base AS b ORDER BY n.nr
  ON CONFLICT (name) DO UPDATE SET token = l.token + 1, granted_at = clock_timestamp()
  RETURNING l.name, l.token
), tokens AS MATERIALIZED (
  SELECT name, token FROM raised UNION ALL SELECT name, token FROM made
)
)sql";

// The last step, after all tokens are written.
constexpr std::string_view keep_exclusive = R"sql(
SELECT t.token, g.n, CASE WHEN (SELECT count(*) FROM tokens) = cardinality($2) THEN pg_advisory_lock($2[a.nr]) END
FROM unnest($1) WITH ORDINALITY AS a (name, nr) CROSS JOIN got AS g LEFT JOIN tokens AS t ON t.name = a.name
ORDER BY a.nr)sql";
constexpr std::string_view keep_shared = R"sql(
SELECT token, CASE WHEN token IS NOT NULL THEN pg_advisory_lock_shared($2) END,
       CASE WHEN token IS NOT NULL THEN pg_advisory_lock_shared($3) END
FROM (SELECT max(token) AS token FROM tokens) AS t)sql";
constexpr std::string_view keep_permit = R"sql(
SELECT token, permit, CASE WHEN token IS NOT NULL THEN pg_advisory_lock(permit) END,
       CASE WHEN token IS NOT NULL THEN pg_advisory_lock_shared($2) END,
       CASE WHEN token IS NOT NULL THEN pg_advisory_lock_shared($4) END
FROM (SELECT max(token) AS token FROM tokens) AS t CROSS JOIN got)sql";
constexpr std::string_view tell = "SELECT token FROM tokens";

constexpr statement fenced_exclusive{"rowlock_fenced_exclusive",
                                     joined<try_exclusive, raise_tokens, keep_exclusive>.data()};
constexpr statement fenced_shared{"rowlock_fenced_shared", joined<try_shared, raise_tokens, keep_shared>.data()};
constexpr statement fenced_shared_again{"rowlock_fenced_shared_again",
                                        joined<try_shared_again, raise_tokens, keep_shared>.data()};
constexpr statement fenced_permit{"rowlock_fenced_permit", joined<try_permit, raise_tokens, keep_permit>.data()};
constexpr statement raise_token{"rowlock_raise_token", joined<got_already, raise_tokens, tell>.data()};

// Runs `question`, whose rows say by their first column what was granted. If they came, and then the commit failed, the
// locks are the session's already: gives them back.
template <class Question, class GiveBack>
result asked(session& s, deadline d, Question question, GiveBack give_back) {
    try {
        return question();
    } catch (const no_answer&) {
        throw;  // the session is gone, and the locks with it
    } catch (const error&) {
        if (const auto rows = s.rows_before_failure(); rows.rows() > 0 && !rows.is_null(0, 0)) {
            try {
                give_back(rows, d);
            } catch (const error&) {
                s.abandon();  // closing it gives back all of it
            }
        }
        throw;
    }
}

}  // namespace

several_tokens try_all(session& s, std::span<const std::string_view> names, std::span<const std::int64_t> keys,
                       deadline d) {
    const auto rows = asked(
        s, d, [&] { return s.run(fenced_exclusive, d, array_of(names), array_of(keys)); },
        [&](const result&, deadline until) {
            for (const auto key : keys)
                advisory_sql::unlock(s, {.mode = lock_mode::exclusive, .keys = {.name = key}}, until);
        });
    several_tokens got{.busy = static_cast<std::size_t>(rows.integer(0, 1))};
    if (got.busy < names.size()) return got;
    for (int i = 0; i < rows.rows(); ++i) got.all.push_back(rows.token(i, 0));
    return got;
}

std::optional<fenced_lock> try_lock(session& s, std::string_view name, lock_mode mode, const lock_keys& keys,
                                    std::span<const std::int64_t> permits, bool shares_already, deadline d) {
    fenced_lock f{.lock = {.mode = mode, .keys = keys}, .token = fencing_token{0}};
    if (mode == lock_mode::exclusive) {
        const auto got = try_all(s, {&name, 1}, {&keys.name, 1}, d);
        if (got.all.empty()) return std::nullopt;
        f.token = got.all.front();
        return f;
    }
    const auto names = array_of(std::span{&name, 1});
    const auto rows = asked(
        s, d,
        [&] {
            if (mode == lock_mode::permit)
                return s.run(fenced_permit, d, names, keys.name, keys.sharers, keys.users, keys.queue,
                             array_of(permits));
            return shares_already ? s.run(fenced_shared_again, d, names, keys.name, keys.sharers)
                                  : s.run(fenced_shared, d, names, keys.name, keys.sharers, keys.users);
        },
        [&](const result& r, deadline until) {
            if (mode == lock_mode::permit) f.lock.permit = r.integer(0, 1);
            advisory_sql::unlock(s, f.lock, until);
        });
    if (rows.is_null(0, 0)) return std::nullopt;
    if (mode == lock_mode::permit) f.lock.permit = rows.integer(0, 1);
    f.token = rows.token(0, 0);
    return f;
}

fencing_token raise(session& s, std::string_view name, deadline d) {
    return s.run(raise_token, d, array_of(std::span{&name, 1})).token(0, 0);
}

}  // namespace rowlock::postgres::fenced_sql
