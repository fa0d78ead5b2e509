// What is asked about many leases at once, and what operators ask.
#include <unordered_map>
#include <unordered_set>

#include <rowlock/error.hpp>

#include "lease_store.hpp"

namespace rowlock::postgres {
namespace {

using std::chrono::milliseconds;

// $1 provider, $2 names, $3 numbers, $4 time to live in ms. What has ended stays ended.
constexpr statement renew_leases{"rowlock_renew", R"sql(
WITH held AS MATERIALIZED (
  SELECT h.name COLLATE "C" AS name, h.number FROM unnest($2::text[], $3::bigint[]) AS h (name, number)
  WHERE set_config('synchronous_commit',
                   CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
                   true) IS NOT NULL
), exclusive AS (
  UPDATE rowlock.lock AS l SET expires_at = clock_timestamp() + $4::bigint * interval '1 millisecond'
  FROM held AS h
  WHERE l.name = h.name AND l.provider = $1::bigint AND l.number = h.number AND l.expires_at > clock_timestamp()
  RETURNING l.number
), parts AS (
  UPDATE rowlock.part AS p SET expires_at = clock_timestamp() + $4 * interval '1 millisecond'
  FROM held AS h
  WHERE p.name = h.name AND p.provider = $1 AND p.number = h.number AND p.expires_at > clock_timestamp()
  RETURNING p.number
)
SELECT number FROM exclusive UNION ALL SELECT number FROM parts)sql"};

// $1 provider, $2 numbers
constexpr statement breaks_of{"rowlock_breaks", R"sql(
SELECT number, 'broken by ' || broken_by || ': ' || reason FROM rowlock.break
WHERE provider = $1::bigint AND number = ANY ($2::bigint[]))sql"};

// $1 name, $2 reason, $3 by, $4 schema, for those who listen. A fence that has pinned the row goes on protecting it: a
// take needs more than this does. Parts are ended only: to free and count them is left to `reap`, which waits for
// fences.
constexpr statement break_lease{"rowlock_break", R"sql(
WITH old_parts AS MATERIALIZED (
  SELECT p.name, p.slot, p.token, p.provider, p.number, p.owner, p.expires_at > clock_timestamp() AS held
  FROM rowlock.part AS p WHERE p.name = $1::text AND p.provider IS NOT NULL
  FOR NO KEY UPDATE
), freed AS (
  UPDATE rowlock.part AS p SET expires_at = 'epoch'
  FROM old_parts AS o WHERE p.name = o.name AND p.slot = o.slot
), old_lock AS MATERIALIZED (
  SELECT l.name, l.token, l.provider, l.number, l.owner, l.expires_at > clock_timestamp() AS held
  FROM rowlock.lock AS l WHERE l.name = $1
  FOR NO KEY UPDATE
), raised AS (
  UPDATE rowlock.lock AS l
  SET token = l.token + 1, expires_at = '-infinity', provider = NULL, upgrading_until = '-infinity'
  FROM old_lock AS o WHERE l.name = o.name AND (o.held OR EXISTS (SELECT FROM old_parts))
), victims AS (
  SELECT token, owner, provider, number FROM old_lock WHERE held
  UNION ALL SELECT token, owner, provider, number FROM old_parts WHERE held
), recorded AS (
  INSERT INTO rowlock.break (name, token, owner, provider, number, reason, broken_by)
  SELECT $1, token, owner, provider, number, $2::text, $3::text FROM victims
)
SELECT count(*), CASE WHEN count(*) > 0 THEN pg_notify('rowlock_break', $4::text)::text END FROM victims)sql"};

// $1 idle time in ms. The floor rises in the same transaction in which the names go, and is locked before them: who
// gives a new name its first token waits for it, and reads it after that.
//
// A name may have an advisory lock of scheme native, whose tokens come from the same row. Who gets that lock after the
// look takes no harm: its next token is above the floor.
constexpr statement purge_names{"rowlock_purge", R"sql(
WITH base AS MATERIALIZED (
  SELECT f.token FROM rowlock.floor AS f FOR UPDATE
), advisory AS MATERIALIZED (
  SELECT (classid::bigint << 32 | objid::bigint) AS key FROM pg_locks
  WHERE locktype = 'advisory' AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), idle AS MATERIALIZED (
  SELECT l.name FROM rowlock.lock AS l
  WHERE EXISTS (SELECT FROM base)
    AND ('x' || encode(substring(sha256(convert_to(l.name, 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint
        NOT IN (SELECT key FROM advisory)
    AND l.expires_at <= clock_timestamp() AND l.sharers = 0 AND l.upgraders = 0 AND l.permits = 0
    AND l.granted_at <= clock_timestamp() - $1::bigint * interval '1 millisecond'
  FOR UPDATE SKIP LOCKED
), gone AS (
  DELETE FROM rowlock.lock AS l USING idle AS i WHERE l.name = i.name RETURNING l.token
), slots AS (
  DELETE FROM rowlock.part AS p USING idle AS i WHERE p.name = i.name
), raised AS (
  UPDATE rowlock.floor AS f SET token = greatest(f.token, g.token)
  FROM (SELECT max(token) AS token, count(*) AS n FROM gone) AS g WHERE g.n > 0
)
SELECT count(*) FROM gone)sql"};

// Before that: names whose holders are dead count as idle.
constexpr statement names_with_dead_parts{"rowlock_dead_names", R"sql(
SELECT DISTINCT name FROM rowlock.part WHERE provider IS NOT NULL AND expires_at <= clock_timestamp())sql"};

// $1 prefix. Mode 4: waits to upgrade.
constexpr statement all_rows{"rowlock_rows", R"sql(
SELECT l.name, h.mode, h.owner, h.token, h.since, (1000 * extract(epoch FROM h.expires_at - clock_timestamp()))::bigint
FROM rowlock.lock AS l LEFT JOIN LATERAL (
  SELECT 0 AS mode, l.owner, l.token, l.since, l.expires_at WHERE l.expires_at > clock_timestamp()
  UNION ALL
  SELECT p.mode, p.owner, p.token, p.since, p.expires_at FROM rowlock.part AS p
  WHERE p.name = l.name AND p.provider IS NOT NULL AND p.expires_at > clock_timestamp()
  UNION ALL
  SELECT 4, p.owner, p.token, p.since, p.expires_at FROM rowlock.part AS p
  WHERE p.name = l.name AND p.provider IS NOT NULL AND p.mode = 2 AND l.upgrading_until > clock_timestamp()) AS h ON true
WHERE starts_with(l.name, $1::text)
ORDER BY l.name, h.mode, h.token)sql"};

constexpr statement all_keys{"rowlock_keys", R"sql(
SELECT (l.classid::bigint << 32 | l.objid::bigint), coalesce(a.application_name, ''),
       coalesce(l.waitstart, a.query_start, clock_timestamp())
FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.mode = 'ExclusiveLock'
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY l.granted DESC, l.waitstart NULLS LAST, l.pid)sql"};

}  // namespace

std::unordered_set<std::uint64_t> lease_store::renew(session& s, std::span<const lock_request* const> held,
                                                     deadline d) {
    std::vector<std::string_view> names;
    std::vector<std::int64_t> numbers;
    for (const auto* r : held) {
        names.emplace_back(r->name);
        numbers.push_back(as_int(r->id.number));
    }
    const auto rows = s.run(renew_leases, d, as_int(held.front()->id.provider), array_of(names), array_of(numbers),
                            std::int64_t{held.front()->ttl.count()});
    std::unordered_set<std::uint64_t> renewed;
    for (int i = 0; i < rows.rows(); ++i) renewed.insert(static_cast<std::uint64_t>(rows.integer(i, 0)));
    return renewed;
}

std::unordered_map<std::uint64_t, std::string> lease_store::breaks(session& s, std::uint64_t provider,
                                                                   std::span<const std::int64_t> numbers, deadline d) {
    const auto rows = s.run(breaks_of, d, as_int(provider), array_of(numbers));
    std::unordered_map<std::uint64_t, std::string> found;
    for (int i = 0; i < rows.rows(); ++i)
        found.emplace(static_cast<std::uint64_t>(rows.integer(i, 0)), rows.text(i, 1));
    return found;
}

// A renewal locks the same rows in an order of its own.
std::size_t lease_store::break_all(session& s, std::string_view n, std::string_view reason, std::string_view by,
                                   deadline d) {
    for (int tries = 1;; ++tries) {
        try {
            return static_cast<std::size_t>(s.run(break_lease, d, n, reason, by, s.schema()).integer(0, 0));
        } catch (const deadlock_detected&) {
            if (tries == 3) throw;
        }
    }
}

std::size_t lease_store::purge(session& s, milliseconds idle, deadline d) {
    const auto dead = s.run(names_with_dead_parts, d);
    for (int i = 0; i < dead.rows(); ++i) (void)reap(s, dead.text(i, 0), d);
    return static_cast<std::size_t>(s.run(purge_names, d, std::int64_t{idle.count()}).integer(0, 0));
}

std::vector<detail::lease_row> lease_store::rows(session& s, std::string_view prefix, deadline d) {
    const auto found = s.run(all_rows, d, prefix);
    std::vector<detail::lease_row> all;
    for (int i = 0; i < found.rows(); ++i) {
        auto& r = all.emplace_back(detail::lease_row{.name = found.text(i, 0)});
        if (found.is_null(i, 1)) continue;
        if (found.integer(i, 1) == 4) {
            r.waiter =
                waiter_status{.mode = lock_mode::exclusive, .owner = found.text(i, 2), .since = found.time(i, 4)};
            continue;
        }
        r.holder = holder_status{.mode = static_cast<lock_mode>(found.integer(i, 1)),
                                 .owner = found.text(i, 2),
                                 .token = found.token(i, 3),
                                 .since = found.time(i, 4),
                                 .expires_in = milliseconds{found.integer(i, 5)}};
    }
    return all;
}

std::vector<std::pair<std::string, waiter_status>> lease_store::waiters(session& s, std::span<const std::string> names,
                                                                        deadline d) const {
    std::unordered_map<std::int64_t, std::string> queues;
    for (const auto& n : names) queues.emplace(keys_of(n).queue, n);
    const auto found = s.run(all_keys, d);
    std::vector<std::pair<std::string, waiter_status>> all;
    for (int i = 0; i < found.rows(); ++i)
        if (const auto n = queues.find(found.integer(i, 0)); n != queues.end())
            all.emplace_back(
                n->second,
                waiter_status{.mode = lock_mode::exclusive, .owner = found.text(i, 1), .since = found.time(i, 2)});
    return all;
}

}  // namespace rowlock::postgres
