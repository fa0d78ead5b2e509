// What is asked about many leases at once, and what operators ask.
#include <algorithm>

#include <joined.hpp>

#include "lease_store.hpp"

namespace rowlock::sqlserver {
namespace {

using std::chrono::milliseconds;

// Numbers of leases come as bytes, 8 for each, the most significant first: servers of any age can take that apart, and
// one text of the batch serves any number of them. The digits make all numbers below 10,000.
//
// numbers, provider
constexpr std::string_view of_these = R"sql(
DECLARE @numbers varbinary(max) = ?, @provider bigint = ?;
DECLARE @count int = DATALENGTH(@numbers) / 8;
DECLARE @asked TABLE (number bigint NOT NULL PRIMARY KEY);
WITH digit (n) AS (SELECT n FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) AS v (n)),
     place (n) AS (SELECT 1000 * d.n + 100 * c.n + 10 * b.n + a.n
                   FROM digit AS a CROSS JOIN digit AS b CROSS JOIN digit AS c CROSS JOIN digit AS d
                   WHERE a.n < @count AND 10 * b.n < @count AND 100 * c.n < @count AND 1000 * d.n < @count
                     AND 1000 * d.n + 100 * c.n + 10 * b.n + a.n < @count)
INSERT INTO @asked (number)
SELECT CAST(CAST(SUBSTRING(@numbers, 8 * n + 1, 8) AS binary(8)) AS bigint) FROM place;)sql";
constexpr std::size_t most_at_once = 10'000;

// ..., time to live in ms. What has ended stays ended.
constexpr std::string_view move_ends = R"sql(
DECLARE @ttl int = ?;
UPDATE [rowlock].lock SET expires_at = DATEADD(MILLISECOND, @ttl, SYSUTCDATETIME())
WHERE provider = @provider AND expires_at > SYSUTCDATETIME() AND number IN (SELECT number FROM @asked);
UPDATE [rowlock].part SET expires_at = DATEADD(MILLISECOND, @ttl, SYSUTCDATETIME())
WHERE provider = @provider AND expires_at > SYSUTCDATETIME() AND number IN (SELECT number FROM @asked);
SELECT number FROM [rowlock].lock
WHERE provider = @provider AND expires_at > SYSUTCDATETIME() AND number IN (SELECT number FROM @asked)
UNION ALL
SELECT number FROM [rowlock].part
WHERE provider = @provider AND expires_at > SYSUTCDATETIME() AND number IN (SELECT number FROM @asked))sql";
constexpr batch_text renew_leases{detail::joined<of_these, move_ends>.data()};

constexpr std::string_view who_broke = R"sql(
SELECT number, N'broken by ' + broken_by + N': ' + reason FROM [rowlock].[break]
WHERE provider = @provider AND number IN (SELECT number FROM @asked))sql";
constexpr batch_text breaks_of{detail::joined<of_these, who_broke>.data()};

// key, name, reason, by. A fence goes on protecting its transaction: a take needs more than this does.
constexpr batch_text break_lease{R"sql(
DECLARE @key varbinary(255) = ?, @name nvarchar(255) = ?, @reason nvarchar(max) = ?, @by nvarchar(max) = ?;
DECLARE @victims int = 0;
BEGIN TRANSACTION;
UPDATE [rowlock].lock SET token = token + 1
WHERE name_key = @key AND (expires_at > SYSUTCDATETIME() OR sharers > 0 OR upgraders > 0 OR permits > 0);
IF @@ROWCOUNT = 1
BEGIN
  INSERT INTO [rowlock].[break] (name, token, owner, provider, number, reason, broken_by)
  SELECT @name, token - 1, owner, provider, number, @reason, @by FROM [rowlock].lock
  WHERE name_key = @key AND expires_at > SYSUTCDATETIME();
  SET @victims = @@ROWCOUNT;
  INSERT INTO [rowlock].[break] (name, token, owner, provider, number, reason, broken_by)
  SELECT @name, token, owner, provider, number, @reason, @by FROM [rowlock].part
  WHERE name_key = @key AND expires_at > SYSUTCDATETIME();
  SET @victims = @victims + @@ROWCOUNT;
  DELETE FROM [rowlock].part WHERE name_key = @key;
  UPDATE [rowlock].lock
  SET expires_at = '0001-01-01', upgrading_until = '0001-01-01', sharers = 0, upgraders = 0, permits = 0
  WHERE name_key = @key;
END;
COMMIT;
SELECT @victims)sql"};

// idle time in days and milliseconds, as neither alone fits into what DATEADD takes. The floor rises in the same
// transaction in which the names go, and no token that goes is above it.
//
// A name may be held as an applock, whose tokens come from the same row; it stays, unless the applock is a hash of it,
// which not every server can tell here. Who gets an applock of a name that goes takes no harm: the next token is above
// the floor.
constexpr batch_text purge_names{R"sql(
DECLARE @days int = ?, @ms int = ?;
DECLARE @gone int = 0, @before datetime2(6), @highest bigint;
SET @before = DATEADD(MILLISECOND, -@ms, DATEADD(DAY, -@days, SYSUTCDATETIME()));
BEGIN TRANSACTION;
UPDATE [rowlock].floor SET token = token;
SELECT @highest = MAX(token) FROM [rowlock].lock
WHERE expires_at <= SYSUTCDATETIME() AND sharers = 0 AND upgraders = 0 AND permits = 0 AND granted_at <= @before;
UPDATE [rowlock].floor SET token = @highest WHERE token < @highest;
DELETE FROM [rowlock].lock
WHERE expires_at <= SYSUTCDATETIME() AND sharers = 0 AND upgraders = 0 AND permits = 0 AND granted_at <= @before
  AND token <= @highest AND APPLOCK_TEST('public', name, 'Exclusive', 'Session') = 1
  AND APPLOCK_MODE('public', name, 'Session') = 'NoLock';
SET @gone = @@ROWCOUNT;
COMMIT;
SELECT @gone)sql"};

// Before that: names whose holders are dead count as idle.
constexpr batch_text names_with_dead_parts{
    "SELECT DISTINCT name_key FROM [rowlock].part WHERE expires_at <= SYSUTCDATETIME()"};

// prefix. Mode 4: waits to upgrade. Times in ms since 1970; DATEDIFF alone cannot count as far.
constexpr batch_text all_rows{R"sql(
DECLARE @prefix varbinary(255) = ?;
SELECT l.name_key, h.mode, h.owner, h.token,
       CAST(DATEDIFF(DAY, '1970-01-01', h.since) AS bigint) * 86400000
         + DATEDIFF(MILLISECOND, CAST(CAST(h.since AS date) AS datetime2(6)), h.since),
       DATEDIFF(MILLISECOND, SYSUTCDATETIME(), h.expires_at)
FROM [rowlock].lock AS l LEFT JOIN (
  SELECT name_key, 0 AS mode, owner, token, since, expires_at FROM [rowlock].lock WHERE expires_at > SYSUTCDATETIME()
  UNION ALL
  SELECT name_key, mode, owner, token, since, expires_at FROM [rowlock].part WHERE expires_at > SYSUTCDATETIME()
  UNION ALL
  SELECT p.name_key, 4, p.owner, p.token, p.since, p.expires_at
  FROM [rowlock].part AS p INNER JOIN [rowlock].lock AS u ON u.name_key = p.name_key
  WHERE p.mode = 2 AND p.expires_at > SYSUTCDATETIME() AND u.upgrading_until > SYSUTCDATETIME()
) AS h ON h.name_key = l.name_key
WHERE COALESCE(DATALENGTH(@prefix), 0) = 0 OR SUBSTRING(l.name_key, 1, DATALENGTH(@prefix)) = @prefix
ORDER BY l.name_key, h.mode, h.token)sql"};

void append(std::string& out, std::uint64_t n) {
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>((n >> shift) & 0xFFU);
}

fencing_token token(const odbc::rows& r, std::size_t row, std::size_t column) {
    return fencing_token{static_cast<std::uint64_t>(r.integer(row, column))};
}

}  // namespace

std::unordered_set<std::uint64_t> lease_store::renew(session& s, std::span<const lock_request* const> held,
                                                     deadline d) {
    std::unordered_set<std::uint64_t> renewed;
    for (std::size_t first = 0; first < held.size(); first += most_at_once) {
        std::string numbers;
        for (const auto* r : held.subspan(first, std::min(most_at_once, held.size() - first)))
            append(numbers, r->id.number);
        const auto rows =
            s.run(renew_leases, d, odbc::bytes{numbers}, static_cast<std::int64_t>(held.front()->id.provider),
                  std::int64_t{held.front()->ttl.count()});
        for (std::size_t i = 0; i < rows.size(); ++i) renewed.insert(static_cast<std::uint64_t>(rows.integer(i, 0)));
    }
    return renewed;
}

std::unordered_map<std::uint64_t, std::string> lease_store::breaks(session& s, std::uint64_t provider,
                                                                   std::span<const std::int64_t> numbers, deadline d) {
    std::unordered_map<std::uint64_t, std::string> found;
    for (std::size_t first = 0; first < numbers.size(); first += most_at_once) {
        std::string packed;
        for (const auto n : numbers.subspan(first, std::min(most_at_once, numbers.size() - first)))
            append(packed, static_cast<std::uint64_t>(n));
        const auto rows = s.run(breaks_of, d, odbc::bytes{packed}, static_cast<std::int64_t>(provider));
        for (std::size_t i = 0; i < rows.size(); ++i)
            found.emplace(static_cast<std::uint64_t>(rows.integer(i, 0)), rows.text(i, 1));
    }
    return found;
}

std::size_t lease_store::break_all(session& s, std::string_view n, std::string_view reason, std::string_view by,
                                   deadline d) {
    return static_cast<std::size_t>(s.run(break_lease, d, odbc::bytes{n}, n, reason, by).integer(0, 0));
}

std::size_t lease_store::purge(session& s, milliseconds idle, deadline d) {
    const auto dead = s.run(names_with_dead_parts, d);
    const lease_store here{std::string{s.schema()}};
    for (std::size_t i = 0; i < dead.size(); ++i) here.reap(s, dead.raw(i, 0), d);
    // Nothing is older than that, and no date is before the year 1.
    const auto time = std::min<milliseconds>(idle, std::chrono::years{1000});
    const auto days = std::chrono::duration_cast<std::chrono::days>(time);
    const auto rows =
        s.run(purge_names, d, std::int64_t{days.count()}, std::int64_t{milliseconds{time - days}.count()});
    return static_cast<std::size_t>(rows.integer(0, 0));
}

std::vector<detail::lease_row> lease_store::rows(session& s, std::string_view prefix, deadline d) {
    const auto found = s.run(all_rows, d, odbc::bytes{prefix});
    std::vector<detail::lease_row> all;
    for (std::size_t i = 0; i < found.size(); ++i) {
        auto& r = all.emplace_back(detail::lease_row{.name = found.raw(i, 0)});
        if (found.is_null(i, 1)) continue;
        const std::chrono::system_clock::time_point since{milliseconds{found.integer(i, 4)}};
        if (found.integer(i, 1) == 4) {
            r.waiter = waiter_status{.mode = lock_mode::exclusive, .owner = found.text(i, 2), .since = since};
            continue;
        }
        r.holder = holder_status{.mode = static_cast<lock_mode>(found.integer(i, 1)),
                                 .owner = found.text(i, 2),
                                 .token = token(found, i, 3),
                                 .since = since,
                                 .expires_in = milliseconds{found.integer(i, 5)}};
    }
    return all;
}

}  // namespace rowlock::sqlserver
