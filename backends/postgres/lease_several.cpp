#include "lease_store.hpp"

namespace rowlock::postgres {
namespace {

using std::chrono::milliseconds;

// As take_exclusive in lease_store.cpp, for several names: all or none. What is seen decides first, so that a busy try
// locks and writes nothing; then the rows are locked, and if one of them has been taken since, nothing is written.
// Rows are inserted in the order of the names: who inserts the same ones waits for the first, and never in a circle.
//
// A name that another one inserts in the same moment is the one case in which some are taken and some are not: its
// answer has no token, and the caller gives the others back.
//
// $1 names in ascending order, $2 provider, $3 numbers, $4 owner, $5 time to live in ms, $6 queue keys, $7 bell keys,
// $8 take the bells
constexpr statement take_several{"rowlock_take_several", R"sql(
WITH asked AS MATERIALIZED (
  SELECT a.name COLLATE "C" AS name, a.number, a.bell, a.nr,
         CASE WHEN pg_try_advisory_lock_shared(a.queue) THEN pg_advisory_unlock_shared(a.queue) ELSE false END AS is_open
  FROM unnest($1::text[], $3::bigint[], $6::bigint[], $7::bigint[]) WITH ORDINALITY
         AS a (name, number, queue, bell, nr)
  WHERE set_config('synchronous_commit',
                   CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
                   true) IS NOT NULL
), seen AS MATERIALIZED (
  SELECT a.name, a.number, a.bell, a.nr, l.name IS NULL AS is_new,
         a.is_open AND (l.name IS NULL OR l.expires_at <= clock_timestamp()
                                          AND l.sharers = 0 AND l.upgraders = 0 AND l.permits = 0) AS is_free
  FROM asked AS a LEFT JOIN rowlock.lock AS l ON l.name = a.name
), free AS MATERIALIZED (
  SELECT l.name FROM rowlock.lock AS l
  WHERE l.name = ANY ($1) AND l.expires_at <= clock_timestamp() AND l.sharers = 0 AND l.upgraders = 0 AND l.permits = 0
    AND (SELECT bool_and(is_free) FROM seen)
  FOR UPDATE SKIP LOCKED
), decided AS MATERIALIZED (
  SELECT bool_and(is_free) AND count(*) FILTER (WHERE NOT is_new) = (SELECT count(*) FROM free) AS all_free FROM seen
), taken AS (
  UPDATE rowlock.lock AS l
  SET token = l.token + 1, expires_at = clock_timestamp() + $5::bigint * interval '1 millisecond',
      provider = $2::bigint, number = s.number, owner = $4::text,
      since = clock_timestamp(), granted_at = clock_timestamp()
  FROM seen AS s WHERE l.name = s.name AND (SELECT all_free FROM decided)
  RETURNING l.name, l.token
), base AS MATERIALIZED (
  SELECT f.token FROM rowlock.floor AS f
  WHERE (SELECT all_free FROM decided) AND EXISTS (SELECT FROM seen WHERE is_new)
  LIMIT 1 FOR SHARE
), made AS (
  INSERT INTO rowlock.lock (name, token, expires_at, provider, number, owner, since, granted_at)
  SELECT s.name, b.token + 1, clock_timestamp() + $5 * interval '1 millisecond', $2, s.number, $4, clock_timestamp(),
         clock_timestamp()
  FROM seen AS s CROSS JOIN base AS b WHERE s.is_new ORDER BY s.nr
  ON CONFLICT DO NOTHING
  RETURNING name, token
), granted AS MATERIALIZED (
  SELECT name, token FROM taken UNION ALL SELECT name, token FROM made
)
SELECT g.token,
       CASE WHEN (SELECT count(*) FROM granted) = cardinality($1) AND $8::bigint <> 0
         THEN pg_try_advisory_lock(s.bell) END,
       s.is_free,
       CASE WHEN NOT s.is_free THEN EXISTS (
         SELECT FROM rowlock.part AS p
         WHERE p.name = s.name AND p.provider IS NOT NULL AND p.expires_at <= clock_timestamp()) END
FROM seen AS s LEFT JOIN granted AS g ON g.name = s.name
ORDER BY s.nr)sql"};

// $1 provider, $2 names, $3 numbers
constexpr statement find_several{"rowlock_find_several", R"sql(
SELECT h.nr, l.token, (1000 * extract(epoch FROM l.expires_at - clock_timestamp()))::bigint
FROM unnest($2::text[], $3::bigint[]) WITH ORDINALITY AS h (name, number, nr)
     JOIN rowlock.lock AS l ON l.name = h.name COLLATE "C" AND l.provider = $1::bigint AND l.number = h.number
WHERE l.expires_at > clock_timestamp())sql"};

// What the statements above are asked about, one array for each column.
struct columns {
    explicit columns(std::span<const lock_request> all) {
        for (const auto& r : all) {
            names.emplace_back(r.name);
            numbers.push_back(as_int(r.id.number));
        }
    }
    std::vector<std::string_view> names;
    std::vector<std::int64_t> numbers;
};

}  // namespace

detail::several_answer lease_store::take_all(session& s, std::span<const lock_request> all,
                                             std::span<const lease_keys> keys, bool bell, deadline d) {
    const columns c{all};
    std::vector<std::int64_t> queues, bells;
    for (const auto& k : keys) {
        queues.push_back(k.queue);
        bells.push_back(k.bell);
    }
    const auto& first = all.front();
    const auto rows =
        s.run(take_several, d, array_of(c.names), as_int(first.id.provider), array_of(c.numbers), first.owner,
              std::int64_t{first.ttl.count()}, array_of(queues), array_of(bells), std::int64_t{bell ? 1 : 0});
    detail::several_answer answer;
    bool looks_free = true;
    for (int i = 0; i < rows.rows(); ++i) {
        const auto at = static_cast<std::size_t>(i);
        if (!rows.is_null(i, 0)) {
            answer.granted.push_back({.at = at, .token = rows.token(i, 0), .bell = rows.truth(i, 1)});
        } else if (looks_free && (answer.busy == detail::several_answer::nobody || !rows.truth(i, 2))) {
            answer.busy = at;
            looks_free = rows.truth(i, 2);
            answer.dead_parts = rows.truth(i, 3);
        }
    }
    answer.contended = answer.busy != detail::several_answer::nobody && looks_free;
    return answer;
}

std::vector<detail::several_lease> lease_store::find_all(session& s, std::span<const lock_request> all, deadline d) {
    const columns c{all};
    const auto rows = s.run(find_several, d, as_int(all.front().id.provider), array_of(c.names), array_of(c.numbers));
    std::vector<detail::several_lease> found;
    for (int i = 0; i < rows.rows(); ++i)
        found.push_back({.at = static_cast<std::size_t>(rows.integer(i, 0) - 1),
                         .token = rows.token(i, 1),
                         .left = milliseconds{rows.integer(i, 2)}});
    return found;
}

}  // namespace rowlock::postgres
