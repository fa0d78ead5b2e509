#include "lease_store.hpp"

#include <thread>

#include <last_result.hpp>

#include "advisory_sql.hpp"
#include "key_wait.hpp"
#include "lock_key.hpp"

namespace rowlock::postgres {
namespace {

using std::chrono::milliseconds;

// Every time is read from clock_timestamp(), after the row was locked; now() stands still while a statement waits.
//
// A try never waits for a row. One that is pinned by a fence is busy. One that somebody else has locked, or had until
// now, and that looks free, is being taken; or a renewal that came after the release, and waited for it, has locked
// what it found and not changed it: so it is worth another look. A pin goes along with FOR NO KEY UPDATE, a change does
// not.
//
// Who holds the name exclusively is in its row, the others are in rowlock.part and counted in the row, so that what is
// decided about a name is decided by one row, in the version that was locked.
//
// The gate is closed while somebody waits at the head of the queue. It also makes the commit a synchronous one, since
// a token that a crash takes back would be given out again; remote_apply is stronger and stays. It comes first because
// the others refer to it.
//
// A new name starts above the floor, which is read under a lock, because purges raise it meanwhile.

// $1 name, $2 provider, $3 number, $4 owner, $5 time to live in ms, $6 queue key, $7 bell key, $8 take the bell,
// $9 head of the queue
constexpr statement take_exclusive{"rowlock_take_exclusive", R"sql(
WITH gate AS MATERIALIZED (
  SELECT set_config('synchronous_commit',
                    CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
                    true) IS NOT NULL
         AND CASE WHEN $9::bigint <> 0 THEN true
                  WHEN pg_try_advisory_lock_shared($6::bigint) THEN pg_advisory_unlock_shared($6)
                  ELSE false END AS is_open
), free AS MATERIALIZED (
  SELECT l.name FROM rowlock.lock AS l
  WHERE l.name = $1::text AND l.expires_at <= clock_timestamp()
    AND l.sharers = 0 AND l.upgraders = 0 AND l.permits = 0 AND (SELECT is_open FROM gate)
  FOR UPDATE SKIP LOCKED
), taken AS (
  UPDATE rowlock.lock AS l
  SET token = l.token + 1, expires_at = clock_timestamp() + $5::bigint * interval '1 millisecond',
      provider = $2::bigint, number = $3::bigint, owner = $4::text,
      since = clock_timestamp(), granted_at = clock_timestamp()
  FROM free WHERE l.name = free.name
  RETURNING l.token
), made AS (
  INSERT INTO rowlock.lock (name, token, expires_at, provider, number, owner, since, granted_at)
  SELECT $1, f.token + 1, clock_timestamp() + $5 * interval '1 millisecond', $2, $3, $4, clock_timestamp(),
         clock_timestamp()
  FROM rowlock.floor AS f
  WHERE (SELECT is_open FROM gate) AND NOT EXISTS (SELECT FROM rowlock.lock WHERE name = $1)
  FOR SHARE
  ON CONFLICT DO NOTHING
  RETURNING token
), granted AS (
  SELECT token FROM taken UNION ALL SELECT token FROM made
)
SELECT g.token,
       CASE WHEN g.token IS NOT NULL AND $8::bigint <> 0 THEN pg_try_advisory_lock($7::bigint) END,
       CASE WHEN g.token IS NULL THEN EXISTS (
         SELECT FROM rowlock.part WHERE name = $1 AND provider IS NOT NULL AND expires_at <= clock_timestamp()) END,
       CASE WHEN g.token IS NULL AND (SELECT is_open FROM gate) AND EXISTS (
           SELECT FROM rowlock.lock AS l
           WHERE l.name = $1 AND l.expires_at <= clock_timestamp()
             AND l.sharers = 0 AND l.upgraders = 0 AND l.permits = 0)
         THEN NOT EXISTS (SELECT FROM rowlock.lock WHERE name = $1 FOR NO KEY UPDATE SKIP LOCKED)
              OR EXISTS (SELECT FROM rowlock.lock WHERE name = $1 FOR UPDATE SKIP LOCKED)
         ELSE false END,
       CASE WHEN g.token IS NULL THEN (SELECT (1000 * extract(epoch FROM coalesce(
           nullif(greatest(l.expires_at, clock_timestamp()), clock_timestamp()),
           (SELECT min(expires_at) FROM rowlock.part WHERE name = $1 AND provider IS NOT NULL),
           clock_timestamp()) - clock_timestamp()))::bigint
         FROM rowlock.lock AS l WHERE l.name = $1) END
FROM (SELECT) AS one LEFT JOIN granted AS g ON true)sql"};

// What is left of it for the head of the queue once it has the bell, and the others wait for it to be quick: nobody can
// be overtaken, and the name has a row, or else the one above finds that out. Sessions that have bells have
// synchronous_commit on. $6 queue key: while this one's lease is written to disk, the next one goes on to the bell.
constexpr statement take_next{"rowlock_take_next", R"sql(
UPDATE rowlock.lock AS l
SET token = l.token + 1, expires_at = clock_timestamp() + $5::bigint * interval '1 millisecond',
    provider = $2::bigint, number = $3::bigint, owner = $4::text, since = clock_timestamp(), granted_at = clock_timestamp()
FROM (SELECT f.name FROM rowlock.lock AS f
      WHERE f.name = $1::text AND f.expires_at <= clock_timestamp() AND f.sharers = 0 AND f.upgraders = 0 AND f.permits = 0
      FOR UPDATE SKIP LOCKED) AS free
WHERE l.name = free.name
RETURNING l.token, pg_advisory_unlock($6::bigint))sql"};

// $1 name. Whether somebody holds it exclusively, for sure.
constexpr statement look{"rowlock_look",
                         "SELECT FROM rowlock.lock WHERE name = $1::text AND expires_at > clock_timestamp()"};

// As above, and $10 mode, $11 permits at most. Those who share may meet at the row for a moment: that is said, not
// taken for busy.
constexpr statement take_part{"rowlock_take_part", R"sql(
WITH gate AS MATERIALIZED (
  SELECT set_config('synchronous_commit',
                    CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
                    true) IS NOT NULL
         AND CASE WHEN $9::bigint <> 0 THEN true
                  WHEN pg_try_advisory_lock_shared($6::bigint) THEN pg_advisory_unlock_shared($6)
                  ELSE false END AS is_open
), admitted AS MATERIALIZED (
  SELECT l.name FROM rowlock.lock AS l
  WHERE l.name = $1::text AND l.expires_at <= clock_timestamp() AND l.upgrading_until <= clock_timestamp()
    AND CASE $10::bigint WHEN 1 THEN l.permits = 0
                         WHEN 2 THEN l.permits = 0 AND l.upgraders = 0
                         ELSE l.sharers = 0 AND l.upgraders = 0 AND l.permits < $11::bigint END
    AND (SELECT is_open FROM gate)
  FOR UPDATE SKIP LOCKED
), raised AS (
  UPDATE rowlock.lock AS l
  SET token = l.token + 1, granted_at = clock_timestamp(),
      sharers = l.sharers + ($10 = 1)::integer, upgraders = l.upgraders + ($10 = 2)::integer,
      permits = l.permits + ($10 = 3)::integer
  FROM admitted AS a WHERE l.name = a.name
  RETURNING l.token
), made AS (
  INSERT INTO rowlock.lock (name, token, granted_at, sharers, upgraders, permits)
  SELECT $1, f.token + 1, clock_timestamp(), ($10 = 1)::integer, ($10 = 2)::integer, ($10 = 3)::integer
  FROM rowlock.floor AS f
  WHERE (SELECT is_open FROM gate) AND NOT EXISTS (SELECT FROM rowlock.lock WHERE name = $1)
  FOR SHARE
  ON CONFLICT DO NOTHING
  RETURNING token
), granted AS MATERIALIZED (
  SELECT token FROM raised UNION ALL SELECT token FROM made
), slot AS MATERIALIZED (
  SELECT p.name, p.slot FROM rowlock.part AS p
  WHERE p.name = $1 AND p.provider IS NULL AND EXISTS (SELECT FROM granted)
  LIMIT 1
  FOR UPDATE SKIP LOCKED
), used_again AS (
  UPDATE rowlock.part AS p
  SET mode = $10, token = g.token, expires_at = clock_timestamp() + $5::bigint * interval '1 millisecond',
      provider = $2::bigint, number = $3::bigint, owner = $4::text, since = clock_timestamp()
  FROM slot AS s, granted AS g WHERE p.name = s.name AND p.slot = s.slot
), added AS (
  INSERT INTO rowlock.part (name, slot, mode, token, expires_at, provider, number, owner, since)
  SELECT $1, g.token, $10, g.token, clock_timestamp() + $5 * interval '1 millisecond', $2, $3, $4, clock_timestamp()
  FROM granted AS g WHERE NOT EXISTS (SELECT FROM slot)
)
SELECT g.token,
       CASE WHEN g.token IS NOT NULL AND $8::bigint <> 0 THEN pg_try_advisory_lock_shared($7::bigint) END,
       CASE WHEN g.token IS NULL THEN EXISTS (
         SELECT FROM rowlock.part WHERE name = $1 AND provider IS NOT NULL AND expires_at <= clock_timestamp()) END,
       CASE WHEN g.token IS NULL THEN (SELECT is_open FROM gate) AND NOT EXISTS (
         SELECT FROM rowlock.lock AS l
         WHERE l.name = $1
           AND NOT (l.expires_at <= clock_timestamp() AND l.upgrading_until <= clock_timestamp()
                    AND CASE $10 WHEN 1 THEN l.permits = 0
                                 WHEN 2 THEN l.permits = 0 AND l.upgraders = 0
                                 ELSE l.sharers = 0 AND l.upgraders = 0 AND l.permits < $11 END)) END,
       CASE WHEN g.token IS NULL THEN (SELECT (1000 * extract(epoch FROM coalesce(
           nullif(greatest(l.expires_at, clock_timestamp()), clock_timestamp()),
           (SELECT min(expires_at) FROM rowlock.part WHERE name = $1 AND provider IS NOT NULL),
           clock_timestamp()) - clock_timestamp()))::bigint
         FROM rowlock.lock AS l WHERE l.name = $1) END
FROM (SELECT) AS one LEFT JOIN granted AS g ON true)sql"};

// $1 name, $2 provider, $3 number, $4 owner, $5 time to live in ms
constexpr statement take_upgrade{"rowlock_take_upgrade", R"sql(
WITH durable AS MATERIALIZED (
  SELECT set_config('synchronous_commit',
                    CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
                    true)
), mine AS MATERIALIZED (
  SELECT p.name, p.slot FROM rowlock.part AS p
  WHERE p.name = $1::text AND p.provider = $2::bigint AND p.number = $3::bigint AND p.mode = 2
    AND p.expires_at > clock_timestamp() AND EXISTS (SELECT FROM durable)
  FOR NO KEY UPDATE
), alone AS MATERIALIZED (
  SELECT l.name FROM rowlock.lock AS l
  WHERE l.name = (SELECT name FROM mine) AND l.sharers = 0
  FOR UPDATE SKIP LOCKED
), taken AS (
  UPDATE rowlock.lock AS l
  SET token = l.token + 1, expires_at = clock_timestamp() + $5::bigint * interval '1 millisecond',
      provider = $2, number = $3, owner = $4::text, since = clock_timestamp(), granted_at = clock_timestamp(),
      upgraders = l.upgraders - 1, upgrading_until = '-infinity'
  FROM alone AS a WHERE l.name = a.name
  RETURNING l.token
), freed AS (
  UPDATE rowlock.part AS p SET provider = NULL, expires_at = '-infinity'
  FROM mine AS m WHERE p.name = m.name AND p.slot = m.slot AND EXISTS (SELECT FROM taken)
)
SELECT t.token, false,
       CASE WHEN t.token IS NULL THEN EXISTS (
         SELECT FROM rowlock.part WHERE name = $1 AND provider IS NOT NULL AND expires_at <= clock_timestamp()) END,
       NOT EXISTS (SELECT FROM mine),
       CASE WHEN t.token IS NULL AND EXISTS (SELECT FROM rowlock.lock WHERE name = $1 AND sharers = 0)
         THEN NOT EXISTS (SELECT FROM rowlock.lock WHERE name = $1 FOR NO KEY UPDATE SKIP LOCKED)
              OR EXISTS (SELECT FROM rowlock.lock WHERE name = $1 FOR UPDATE SKIP LOCKED)
         ELSE false END
FROM (SELECT) AS one LEFT JOIN taken AS t ON true)sql"};

// $1 name, $2 time to live in ms, 0 to withdraw
constexpr statement announce{"rowlock_announce_upgrade", R"sql(
UPDATE rowlock.lock
SET upgrading_until = CASE WHEN $2::bigint = 0 THEN '-infinity' ELSE clock_timestamp() + $2 * interval '1 millisecond' END
WHERE name = $1::text AND upgraders > 0)sql"};

// $1 name. Who is pinned by a fence is not dead yet. The counters go down by exactly those rows that became free here.
// False: somebody has locked one for a moment, as a renewal that met the end of a lease, and waited for it. A pin goes
// along with FOR NO KEY UPDATE.
constexpr statement reap_parts{"rowlock_reap", R"sql(
WITH at_rest AS MATERIALIZED (
  SELECT p.name, p.slot FROM rowlock.part AS p
  WHERE p.name = $1::text AND p.provider IS NOT NULL AND p.expires_at <= clock_timestamp()
  FOR NO KEY UPDATE SKIP LOCKED
), dead AS MATERIALIZED (
  SELECT p.name, p.slot FROM rowlock.part AS p
  WHERE p.name = $1 AND p.slot IN (SELECT slot FROM at_rest)
  FOR UPDATE SKIP LOCKED
), freed AS (
  UPDATE rowlock.part AS p SET provider = NULL, expires_at = '-infinity'
  FROM dead AS d WHERE p.name = d.name AND p.slot = d.slot
  RETURNING p.mode
), counted AS (
  SELECT count(*) FILTER (WHERE mode = 1) AS sharers, count(*) FILTER (WHERE mode = 2) AS upgraders,
         count(*) FILTER (WHERE mode = 3) AS permits
  FROM freed
), lowered AS (
  UPDATE rowlock.lock AS l
  SET sharers = l.sharers - c.sharers, upgraders = l.upgraders - c.upgraders, permits = l.permits - c.permits,
      upgrading_until = CASE WHEN c.upgraders > 0 THEN '-infinity' ELSE l.upgrading_until END
  FROM counted AS c
  WHERE l.name = $1 AND c.sharers + c.upgraders + c.permits > 0
)
SELECT NOT EXISTS (
  SELECT FROM rowlock.part
  WHERE name = $1 AND provider IS NOT NULL AND expires_at <= clock_timestamp()
    AND slot NOT IN (SELECT slot FROM at_rest)))sql"};

// $1 name, $2 provider, $3 number, $4 give the bell back, $5 bell key. Losing this commit in a crash only means that
// the lease runs out, so nobody waits for the disk. The bell rings after the row was written, and mostly takes longer
// to be heard than this takes to commit; who comes too early asks again.
constexpr statement release_exclusive{"rowlock_release_exclusive", R"sql(
UPDATE rowlock.lock SET expires_at = '-infinity', provider = NULL
FROM (SELECT set_config('synchronous_commit', 'off', true) OFFSET 0) AS quick
WHERE name = $1::text AND provider = $2::bigint AND number = $3::bigint
RETURNING CASE WHEN $4::bigint <> 0 THEN pg_advisory_unlock($5::bigint) END)sql"};

constexpr statement release_part{"rowlock_release_part", R"sql(
WITH freed AS (
  UPDATE rowlock.part SET provider = NULL, expires_at = '-infinity'
  FROM (SELECT set_config('synchronous_commit', 'off', true) OFFSET 0) AS quick
  WHERE name = $1::text AND provider = $2::bigint AND number = $3::bigint
  RETURNING mode
), counted AS (
  UPDATE rowlock.lock AS l
  SET sharers = l.sharers - (f.mode = 1)::integer, upgraders = l.upgraders - (f.mode = 2)::integer,
      permits = l.permits - (f.mode = 3)::integer,
      upgrading_until = CASE WHEN f.mode = 2 THEN '-infinity' ELSE l.upgrading_until END
  FROM freed AS f WHERE l.name = $1
  RETURNING 1
)
SELECT CASE WHEN $4::bigint <> 0 THEN pg_advisory_unlock_shared($5::bigint) END
FROM (SELECT count(*) AS n FROM counted OFFSET 0) AS counted WHERE n >= 0)sql"};

constexpr statement unlock_exclusive_key{"rowlock_unlock_exclusive_key", "SELECT pg_advisory_unlock($1)"};
constexpr statement unlock_shared_key{"rowlock_unlock_shared_key", "SELECT pg_advisory_unlock_shared($1)"};

// $1 name, $2 provider, $3 number
constexpr statement find_lease{"rowlock_find", R"sql(
SELECT mode, token, (1000 * extract(epoch FROM expires_at - clock_timestamp()))::bigint
FROM (SELECT 0::smallint AS mode, token, expires_at FROM rowlock.lock
      WHERE name = $1::text AND provider = $2::bigint AND number = $3::bigint
      UNION ALL
      SELECT mode, token, expires_at FROM rowlock.part WHERE name = $1 AND provider = $2 AND number = $3) AS l
WHERE expires_at > clock_timestamp())sql"};

std::int64_t flag(bool b) { return b ? 1 : 0; }

}  // namespace

lease_keys lease_keys_of(std::string_view schema, std::string_view name) {
    thread_local detail::last_result<lease_keys> last;
    std::string both{name};
    both.append(1, '\0').append(schema);
    return last.of(both, [&]() -> lease_keys {
        const std::string in{schema};
        return {derived_key(name, in + ".lease queue"), derived_key(name, in + ".lease bell")};
    });
}

bool lease_store::is_taken(session& s, const std::string& n, deadline d) { return s.run(look, d, n).rows() > 0; }

detail::lease_answer lease_store::take(session& s, const lock_request& r, const lease_keys& k, detail::lease_manners m,
                                       deadline d) {
    // Again where the one who rang may still be committing, which is cheaper than to find out. Mostly it has only lost
    // its CPU to those whom it woke.
    const int times = r.mode == lock_mode::exclusive && m.head && m.has_bell ? m.rang ? 3 : 1 : 0;
    for (int tries = 0; tries < times; ++tries) {
        if (tries == 1) std::this_thread::yield();
        if (tries == 2) std::this_thread::sleep_for(std::chrono::microseconds{100});
        const auto next = s.run(take_next, d, r.name, as_int(r.id.provider), as_int(r.id.number), r.owner,
                                std::int64_t{r.ttl.count()}, k.queue);
        if (next.rows() == 1) return {.token = next.token(0, 0), .left_queue = true};
    }
    const auto rows =
        r.mode == lock_mode::exclusive
            ? s.run(take_exclusive, d, r.name, as_int(r.id.provider), as_int(r.id.number), r.owner,
                    std::int64_t{r.ttl.count()}, k.queue, k.bell, flag(m.bell && !m.has_bell), flag(m.head))
            : s.run(take_part, d, r.name, as_int(r.id.provider), as_int(r.id.number), r.owner,
                    std::int64_t{r.ttl.count()}, k.queue, k.bell, flag(m.bell && !m.has_bell), flag(m.head),
                    static_cast<std::int64_t>(r.mode), std::int64_t{r.permits});
    if (!rows.is_null(0, 0)) return {.token = rows.token(0, 0), .bell = rows.truth(0, 1)};
    return {
        .dead_parts = rows.truth(0, 2), .contended = rows.truth(0, 3), .expires_in = milliseconds{rows.integer(0, 4)}};
}

detail::lease_answer lease_store::upgrade(session& s, const lock_request& r, deadline d) {
    const auto rows = s.run(take_upgrade, d, r.name, as_int(r.id.provider), as_int(r.id.number), r.owner,
                            std::int64_t{r.ttl.count()});
    if (!rows.is_null(0, 0)) return {.token = rows.token(0, 0)};
    return {.dead_parts = rows.truth(0, 2), .contended = rows.truth(0, 4), .lost = rows.truth(0, 3)};
}

void lease_store::announce_upgrade(session& s, const lock_request& r, bool waits, deadline d) {
    (void)s.run(announce, d, r.name, waits ? std::int64_t{r.ttl.count()} : std::int64_t{0});
}

bool lease_store::reap(session& s, const std::string& n, deadline d) { return s.run(reap_parts, d, n).truth(0, 0); }

void lease_store::release(session& s, const lock_request& r, const lease_keys& k, bool bell, deadline d) {
    const bool exclusive = r.mode == lock_mode::exclusive;
    const auto freed = s.run(exclusive ? release_exclusive : release_part, d, r.name, as_int(r.id.provider),
                             as_int(r.id.number), flag(bell), k.bell);
    // It had been lost, and nothing rang.
    if (exclusive && bell && freed.rows() == 0) release_bell(s, r.mode, k, d);
}

void lease_store::release_bell(session& s, lock_mode mode, const lease_keys& k, deadline d) {
    (void)s.run(mode == lock_mode::exclusive ? unlock_exclusive_key : unlock_shared_key, d, k.bell);
}

void lease_store::unlock_all(session& s, const keys&, deadline d) { advisory_sql::unlock_all(s, d); }

void lease_store::leave_queue(session& s, const lease_keys& k, deadline d) {
    s.send_off(unlock_exclusive_key, d, k.queue);
}

std::optional<detail::found_lease> lease_store::find(session& s, const lock_request& r, deadline d) {
    const auto rows = s.run(find_lease, d, r.name, as_int(r.id.provider), as_int(r.id.number));
    if (rows.rows() == 0) return std::nullopt;
    return detail::found_lease{static_cast<lock_mode>(rows.integer(0, 0)), rows.token(0, 1),
                               milliseconds{rows.integer(0, 2)}};
}

wait_result lease_store::wait_for_queue(session_source& sessions, const session_source::use& here, const keys& k,
                                        const wait_bound& w, milliseconds operation_timeout) {
    return wait_for_key(sessions, *here, k.queue, false, w, operation_timeout);
}

wait_result lease_store::wait_for_bell(session_source& sessions, const session_source::use& here, const keys& k,
                                       bool shared, const wait_bound& w, milliseconds operation_timeout) {
    return wait_for_key(sessions, *here, k.bell, shared, w, operation_timeout);
}

detail::queue_place lease_store::wait_for_both(session_source& sessions, const session_source::use& here, const keys& k,
                                               bool shared, const wait_bound& w, milliseconds patience,
                                               milliseconds operation_timeout) {
    return postgres::wait_for_both(sessions, *here, k.queue, k.bell, shared, w, patience, operation_timeout);
}

}  // namespace rowlock::postgres
