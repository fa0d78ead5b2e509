#include "advisory_sql.hpp"

#include <charconv>
#include <string_view>
#include <utility>

#include "filled.hpp"

namespace rowlock::postgres::advisory_sql {
namespace {

// $1 name
constexpr statement try_exclusive{"rowlock_try_exclusive", "SELECT pg_try_advisory_lock($1)"};
constexpr statement unlock_exclusive{"rowlock_unlock_exclusive", "SELECT pg_advisory_unlock($1)"};

// $1 keys. Goes no further than the first one that is busy. So far they are locks of the transaction, and end with it;
// only when all are granted they become the session's.
constexpr statement try_all_exclusive{"rowlock_try_all_exclusive", R"sql(
WITH RECURSIVE step (i, granted) AS (
  SELECT 0, true
  UNION ALL
  SELECT i + 1, pg_try_advisory_xact_lock(($1::bigint[])[i + 1]) FROM step WHERE granted AND i < cardinality($1)
)
SELECT n, CASE WHEN n = cardinality($1) THEN (SELECT count(pg_advisory_lock(key)) FROM unnest($1) AS k (key)) END
FROM (SELECT count(*) FILTER (WHERE granted) - 1 AS n FROM step) AS got)sql"};

// $1 name, $2 sharers, $3 users. Once this session has said that it shares, it looks whether permits are held. The look
// is an exclusive lock for the length of a function call; if that collides with somebody else's look, pg_locks knows
// better. CASE goes from one condition to the next. (Not `... AND false`: the planner makes plain false of that.)
constexpr statement try_shared{"rowlock_try_shared", R"sql(
SELECT CASE WHEN NOT pg_try_advisory_lock_shared($1) THEN false
            WHEN pg_advisory_lock_shared($2) IS NOT NULL AND pg_try_advisory_lock($3) THEN pg_advisory_unlock($3)
            WHEN NOT EXISTS (SELECT FROM pg_locks
                             WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ShareLock' AND granted
                               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                               AND (classid::bigint << 32 | objid::bigint) = $3) THEN true
            ELSE NOT (pg_advisory_unlock_shared($2) AND pg_advisory_unlock_shared($1)) END)sql"};
// The same in a session that shares the name already, which PostgreSQL would let overtake those who wait.
constexpr statement try_shared_again{"rowlock_try_shared_again", R"sql(
SELECT CASE WHEN EXISTS (SELECT FROM pg_locks
                         WHERE locktype = 'advisory' AND objsubid = 1 AND NOT granted
                           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                           AND (classid::bigint << 32 | objid::bigint) = $1) THEN false
            ELSE pg_try_advisory_lock_shared($1) AND pg_advisory_lock_shared($2) IS NOT NULL END)sql"};
constexpr statement unlock_shared{"rowlock_unlock_shared",
                                  "SELECT pg_advisory_unlock_shared($2) AND pg_advisory_unlock_shared($1)"};

// $1 name, $2 sharers, $3 users, $4 queue, $5 the keys of permits. Nobody overtakes the head of the queue, who holds
// its key. OFFSET 0 keeps the steps apart: look, take a permit, give back if there was none.
constexpr statement try_permit{"rowlock_try_permit", R"sql(
SELECT CASE WHEN taken.permit IS NOT NULL THEN taken.permit
            WHEN gate.is_open AND pg_advisory_unlock_shared($3) AND pg_advisory_unlock_shared($1) THEN NULL END,
       gate.is_open
FROM (SELECT CASE WHEN NOT pg_try_advisory_lock_shared($4) THEN false
                  WHEN pg_advisory_unlock_shared($4) AND NOT pg_try_advisory_lock_shared($1) THEN false
                  WHEN pg_advisory_lock_shared($3) IS NOT NULL AND pg_try_advisory_lock($2) THEN pg_advisory_unlock($2)
                  WHEN NOT EXISTS (SELECT FROM pg_locks
                                   WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ShareLock' AND granted
                                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                                     AND (classid::bigint << 32 | objid::bigint) = $2) THEN true
                  ELSE NOT (pg_advisory_unlock_shared($3) AND pg_advisory_unlock_shared($1)) END AS is_open
      OFFSET 0) AS gate
     LEFT JOIN LATERAL (SELECT permit FROM unnest($5::bigint[]) AS all_permits (permit)
                        WHERE CASE WHEN gate.is_open THEN pg_try_advisory_lock(permit) ELSE false END
                        LIMIT 1) AS taken ON true)sql"};
// $1 name, $2 users, $3 permit
constexpr statement unlock_permit{
    "rowlock_unlock_permit",
    "SELECT pg_advisory_unlock($3) AND pg_advisory_unlock_shared($2) AND pg_advisory_unlock_shared($1)"};

constexpr statement unlock_everything{"rowlock_unlock_all", "SELECT pg_advisory_unlock_all()"};

// $1 key, $2 mode
constexpr statement is_held{"rowlock_is_held", R"sql(
SELECT EXISTS (SELECT FROM pg_locks
               WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid = pg_backend_pid() AND mode = $2
                 AND (classid::bigint << 32 | objid::bigint) = $1))sql"};

// Waiting for a share or a permit (see key_wait.cpp for an exclusive lock), in scripts into which only numbers are put.
// An error that a block of PL/pgSQL catches does not get into the server's log: a timeout is none of its business. What
// is set for the transaction ends with it, that is, with the script. A wait that was ended may have been granted at the
// same moment; then it is given back. It may also be ended twice, see key_wait.cpp: the outer block catches the second,
// for which the statement in the inner one makes the server look.
//
// {wait}: how long at most, in milliseconds; 0 is for ever.

constexpr auto wait_shared = R"sql(
DO $rowlock$ BEGIN BEGIN
  PERFORM set_config('lock_timeout', '{wait}', true);
  PERFORM pg_advisory_lock_shared({name});
  PERFORM pg_advisory_lock_shared({sharers});
  PERFORM set_config('rowlock_wait.outcome', CASE
    WHEN pg_try_advisory_lock({users}) THEN CASE WHEN pg_advisory_unlock({users}) THEN 'granted' END
    WHEN EXISTS (SELECT FROM pg_locks
                 WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ShareLock' AND granted
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                   AND (classid::bigint << 32 | objid::bigint) = {users}) THEN 'mixed'
    ELSE 'granted' END, true);
EXCEPTION WHEN lock_not_available OR query_canceled THEN PERFORM 1;
END; EXCEPTION WHEN lock_not_available OR query_canceled THEN NULL;
END $rowlock$;
)sql";

// Who waits for a permit first waits for the head of the queue, in the server. Only the head looks for a free permit:
// all of them, then it waits at one by chance for 1 to 16 ms, and so on. PostgreSQL cannot wait for one of several
// locks.
constexpr auto wait_permit = R"sql(
DO $rowlock$ DECLARE
  permits CONSTANT bigint[] := '{permits}';
  started CONSTANT timestamptz := clock_timestamp();
  permit bigint;
  slice_ms integer := 1;
BEGIN BEGIN
  PERFORM set_config('lock_timeout', '{wait}', true);
  PERFORM pg_advisory_lock({queue});
  PERFORM pg_advisory_lock_shared({name});
  PERFORM pg_advisory_lock_shared({users});
  IF pg_try_advisory_lock({sharers}) THEN
    PERFORM pg_advisory_unlock({sharers});
  ELSIF EXISTS (SELECT FROM pg_locks
                WHERE locktype = 'advisory' AND objsubid = 1 AND mode = 'ShareLock' AND granted
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                  AND (classid::bigint << 32 | objid::bigint) = {sharers}) THEN
    PERFORM set_config('rowlock_wait.outcome', 'mixed', true);
    RETURN;
  END IF;
  LOOP
    SELECT p INTO permit FROM unnest(permits) AS t (p) WHERE pg_try_advisory_lock(p) LIMIT 1;
    EXIT WHEN permit IS NOT NULL;
    IF {wait} > 0 AND clock_timestamp() >= started + {wait} * interval '1 millisecond' THEN RETURN; END IF;
    permit := permits[1 + floor(random() * cardinality(permits))::integer];
    BEGIN
      PERFORM set_config('lock_timeout', slice_ms::text, true);
      PERFORM pg_advisory_lock(permit);
      EXIT;
    EXCEPTION WHEN lock_not_available THEN
      EXIT WHEN EXISTS (SELECT FROM pg_locks
                        WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid = pg_backend_pid()
                          AND (classid::bigint << 32 | objid::bigint) = permit);
    END;
    slice_ms := least(2 * slice_ms, 16);
  END LOOP;
  PERFORM pg_advisory_unlock({queue});
  PERFORM set_config('rowlock_wait.outcome', 'granted ' || permit, true);
EXCEPTION WHEN lock_not_available OR query_canceled THEN PERFORM 1;
END; EXCEPTION WHEN lock_not_available OR query_canceled THEN NULL;
END $rowlock$;
)sql";

// Ends each of them. The session holds nothing else, so all can go.
constexpr auto outcome = R"sql(
SELECT CASE WHEN o LIKE 'granted%' OR pg_advisory_unlock_all() IS NOT NULL THEN o END
FROM (SELECT current_setting('rowlock_wait.outcome', true) AS o OFFSET 0) AS s)sql";

}  // namespace

std::optional<advisory_lock> try_lock(session& s, lock_mode mode, const lock_keys& keys,
                                      std::span<const std::int64_t> permits, bool shares_already, deadline d) {
    advisory_lock l{.mode = mode, .keys = keys};
    if (mode == lock_mode::exclusive) {
        if (s.run(try_exclusive, d, keys.name).truth(0, 0)) return l;
    } else if (mode == lock_mode::shared) {
        const auto got = shares_already ? s.run(try_shared_again, d, keys.name, keys.sharers)
                                        : s.run(try_shared, d, keys.name, keys.sharers, keys.users);
        if (got.truth(0, 0)) return l;
    } else {
        const auto got = s.run(try_permit, d, keys.name, keys.sharers, keys.users, keys.queue, array_of(permits));
        if (got.is_null(0, 0)) return std::nullopt;
        l.permit = got.integer(0, 0);
        return l;
    }
    return std::nullopt;
}

std::size_t try_all(session& s, std::span<const std::int64_t> keys, deadline d) {
    return static_cast<std::size_t>(s.run(try_all_exclusive, d, array_of(keys)).integer(0, 0));
}

void unlock(session& s, const advisory_lock& l, deadline d) {
    switch (l.mode) {
        case lock_mode::shared:
            (void)s.run(unlock_shared, d, l.keys.name, l.keys.sharers);
            break;
        case lock_mode::permit:
            (void)s.run(unlock_permit, d, l.keys.name, l.keys.users, l.permit);
            break;
        default:
            (void)s.run(unlock_exclusive, d, l.keys.name);
    }
}

void unlock_all(session& s, deadline d) { (void)s.run(unlock_everything, d); }

bool holds(session& s, const advisory_lock& l, deadline d) {
    const std::string mode = l.mode == lock_mode::shared ? "ShareLock" : "ExclusiveLock";
    return s.run(is_held, d, l.mode == lock_mode::permit ? l.permit : l.keys.name, mode).truth(0, 0);
}

std::string wait_script(lock_mode mode, const lock_keys& keys, std::span<const std::int64_t> permits,
                        std::optional<std::chrono::milliseconds> wait) {
    std::string list;
    for (const auto p : permits) list += (list.empty() ? "{" : ",") + std::to_string(p);
    return filled{std::string{mode == lock_mode::shared ? wait_shared : wait_permit} + outcome}
        .put("{permits}", list + "}")
        .put("{wait}", std::to_string(wait.value_or(std::chrono::milliseconds{0}).count()))
        .put("{name}", keys.name)
        .put("{sharers}", keys.sharers)
        .put("{users}", keys.users)
        .put("{queue}", keys.queue)
        .text();
}

std::optional<advisory_lock> outcome_of(const result& r, lock_mode mode, const lock_keys& keys) {
    constexpr std::string_view granted = "granted";
    const auto said = r.rows() == 1 ? r.bytes(0, 0) : std::string_view{};
    if (!said.starts_with(granted)) return std::nullopt;
    advisory_lock l{.mode = mode, .keys = keys};
    if (mode == lock_mode::permit) {
        const auto key = said.substr(granted.size() + 1);
        (void)std::from_chars(key.data(), key.data() + key.size(), l.permit);
    }
    return l;
}

}  // namespace rowlock::postgres::advisory_sql
