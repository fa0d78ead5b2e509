#include "lease_store.hpp"

#include <algorithm>
#include <memory>

#include <joined.hpp>

#include "first_token.hpp"
#include "session_wait.hpp"

namespace rowlock::sqlserver {
namespace {

using detail::wait_result;
using std::chrono::milliseconds;

// Every time is the server's, in UTC, read by the statement that uses it.
//
// A try first looks, so that one that finds the name busy writes and locks nothing. Then it asks for the name's pin
// without waiting, see resource_name.hpp: from there on it is alone with those who renew, release and break, and what
// they do to the row, the conditions of the UPDATE see. Who holds the name exclusively is in its row, the others are in
// rowlock.part and counted in the row. All who write both write the row first; and they read the parts in a statement
// that begins after they have it, as statements may see what was committed when they began.
//
// A new name starts above the floor, see first_token.hpp.
//
// The bell is taken before others can see the lease. Who came from the queue leaves it after that.

// key, name, provider, number, owner, time to live in ms, queue, bell, pin, take the bell, head of the queue
constexpr std::string_view asked = R"sql(
DECLARE @key varbinary(255) = ?, @name nvarchar(255) = ?, @provider bigint = ?, @number bigint = ?,
        @owner nvarchar(max) = ?, @ttl int = ?, @queue nvarchar(255) = ?, @bell nvarchar(255) = ?,
        @pin nvarchar(255) = ?, @ring int = ?, @head int = ?)sql";

constexpr std::string_view found = R"sql(
DECLARE @token bigint, @pinned int = 0, @grantable int = 0, @rang int = -1, @left int, @until datetime2(6);)sql";

constexpr std::string_view look_exclusive = R"sql(
IF DATALENGTH(@key) > 0 AND (@head = 1 OR APPLOCK_TEST('public', @queue, 'Shared', 'Session') = 1)
   AND NOT EXISTS (SELECT 1 FROM [rowlock].lock
                   WHERE name_key = @key
                     AND (expires_at > SYSUTCDATETIME() OR sharers > 0 OR upgraders > 0 OR permits > 0))
BEGIN
  BEGIN TRANSACTION;
  EXEC @pinned = sp_getapplock @Resource = @pin, @LockMode = 'Exclusive', @LockOwner = 'Transaction', @LockTimeout = 0;
  IF @pinned < 0 SET @grantable = APPLOCK_TEST('public', @pin, 'Exclusive', 'Transaction');
  IF @pinned >= 0
  BEGIN)sql";

constexpr std::string_view write_exclusive = R"sql(
    UPDATE [rowlock].lock
    SET token = token + 1, expires_at = DATEADD(MILLISECOND, @ttl, SYSUTCDATETIME()), provider = @provider,
        number = @number, owner = @owner, since = SYSUTCDATETIME(), granted_at = SYSUTCDATETIME()
    WHERE name_key = @key AND expires_at <= SYSUTCDATETIME() AND sharers = 0 AND upgraders = 0 AND permits = 0;
    IF @@ROWCOUNT = 1
      SELECT @token = token FROM [rowlock].lock WHERE name_key = @key;
    ELSE IF NOT EXISTS (SELECT 1 FROM [rowlock].lock WHERE name_key = @key)
    BEGIN
      INSERT INTO [rowlock].lock (name_key, name, token, expires_at, provider, number, owner, since, granted_at)
      VALUES (@key, @name, 0, DATEADD(MILLISECOND, @ttl, SYSUTCDATETIME()), @provider, @number, @owner,
              SYSUTCDATETIME(), SYSUTCDATETIME());)sql";

constexpr std::string_view ring_exclusive = R"sql(
    END;
    IF @token IS NOT NULL AND @ring = 1
      EXEC @rang = sp_getapplock @Resource = @bell, @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = 0;)sql";

constexpr std::string_view look_part = R"sql(
IF (@head = 1 OR APPLOCK_TEST('public', @queue, 'Shared', 'Session') = 1)
   AND NOT EXISTS (SELECT 1 FROM [rowlock].lock
                   WHERE name_key = @key
                     AND (expires_at > SYSUTCDATETIME() OR upgrading_until > SYSUTCDATETIME()
                          OR @mode IN (1, 2) AND permits > 0 OR @mode IN (2, 3) AND upgraders > 0
                          OR @mode = 3 AND (sharers > 0 OR permits >= @permits)))
BEGIN
  BEGIN TRANSACTION;
  EXEC @pinned = sp_getapplock @Resource = @pin, @LockMode = 'Update', @LockOwner = 'Transaction', @LockTimeout = 0;
  IF @pinned < 0 SET @grantable = APPLOCK_TEST('public', @pin, 'Update', 'Transaction');
  IF @pinned >= 0
  BEGIN
    UPDATE [rowlock].lock
    SET token = token + 1, granted_at = SYSUTCDATETIME(),
        sharers = sharers + CASE @mode WHEN 1 THEN 1 ELSE 0 END,
        upgraders = upgraders + CASE @mode WHEN 2 THEN 1 ELSE 0 END,
        permits = permits + CASE @mode WHEN 3 THEN 1 ELSE 0 END
    WHERE name_key = @key AND expires_at <= SYSUTCDATETIME() AND upgrading_until <= SYSUTCDATETIME()
      AND (@mode = 1 AND permits = 0 OR @mode = 2 AND permits = 0 AND upgraders = 0
           OR @mode = 3 AND sharers = 0 AND upgraders = 0 AND permits < @permits);
    IF @@ROWCOUNT = 1
      SELECT @token = token FROM [rowlock].lock WHERE name_key = @key;
    ELSE IF NOT EXISTS (SELECT 1 FROM [rowlock].lock WHERE name_key = @key)
    BEGIN
      INSERT INTO [rowlock].lock (name_key, name, token, granted_at, sharers, upgraders, permits)
      VALUES (@key, @name, 0, SYSUTCDATETIME(), CASE @mode WHEN 1 THEN 1 ELSE 0 END,
              CASE @mode WHEN 2 THEN 1 ELSE 0 END, CASE @mode WHEN 3 THEN 1 ELSE 0 END);)sql";

constexpr std::string_view write_part = R"sql(
    END;
    IF @token IS NOT NULL
      INSERT INTO [rowlock].part (provider, number, name_key, mode, token, expires_at, owner, since)
      VALUES (@provider, @number, @key, @mode, @token, DATEADD(MILLISECOND, @ttl, SYSUTCDATETIME()), @owner,
              SYSUTCDATETIME());
    IF @token IS NOT NULL AND @ring = 1
      EXEC @rang = sp_getapplock @Resource = @bell, @LockMode = 'Shared', @LockOwner = 'Session', @LockTimeout = 0;)sql";

constexpr std::string_view finish = R"sql(
  END;
  COMMIT;
  IF @token IS NOT NULL AND @head = 1 EXEC @left = sp_releaseapplock @Resource = @queue, @LockOwner = 'Session';
END;)sql";

// Token, bell, whether some have run out, milliseconds until the first who holds it does, the pin's answer, and whether
// it was free all the same.
constexpr std::string_view tell = R"sql(
IF @token IS NULL
BEGIN
  SELECT @until = expires_at FROM [rowlock].lock WHERE name_key = @key AND expires_at > SYSUTCDATETIME();
  IF @until IS NULL SELECT @until = MIN(expires_at) FROM [rowlock].part WHERE name_key = @key;
END;
SELECT @token, CASE WHEN @rang >= 0 THEN 1 ELSE 0 END, CASE WHEN @until <= SYSUTCDATETIME() THEN 1 ELSE 0 END,
       CASE WHEN @until > SYSUTCDATETIME() THEN DATEDIFF(MILLISECOND, SYSUTCDATETIME(), @until) ELSE 0 END,
       @pinned, @grantable)sql";

constexpr std::string_view none_more = ";";
// ... mode, permits at most
constexpr std::string_view of_a_part = ", @mode int = ?, @permits bigint = ?;";

constexpr batch_text take_exclusive{
    detail::joined<asked, none_more, found, look_exclusive, write_exclusive, first_token, ring_exclusive, finish, tell>.data()};
constexpr batch_text take_part{
    detail::joined<asked, of_a_part, found, look_part, first_token, write_part, finish, tell>.data()};

constexpr batch_text no_question{"SELECT 1"};

// key. Whether somebody holds it exclusively, for sure.
constexpr batch_text look{"SELECT 1 FROM [rowlock].lock WHERE name_key = ? AND expires_at > SYSUTCDATETIME()"};

// key, provider, number, owner, time to live in ms, pin
constexpr batch_text take_upgrade{R"sql(
DECLARE @key varbinary(255) = ?, @provider bigint = ?, @number bigint = ?, @owner nvarchar(max) = ?, @ttl int = ?,
        @pin nvarchar(255) = ?;
DECLARE @token bigint, @pinned int, @grantable int = 0, @mine int = 0;
BEGIN TRANSACTION;
EXEC @pinned = sp_getapplock @Resource = @pin, @LockMode = 'Exclusive', @LockOwner = 'Transaction', @LockTimeout = 0;
IF @pinned < 0 SET @grantable = APPLOCK_TEST('public', @pin, 'Exclusive', 'Transaction');
IF @pinned >= 0
BEGIN
  UPDATE [rowlock].lock
  SET token = token + 1, expires_at = DATEADD(MILLISECOND, @ttl, SYSUTCDATETIME()), provider = @provider,
      number = @number, owner = @owner, since = SYSUTCDATETIME(), granted_at = SYSUTCDATETIME(),
      upgraders = upgraders - 1, upgrading_until = '0001-01-01'
  WHERE name_key = @key AND expires_at <= SYSUTCDATETIME() AND sharers = 0 AND upgraders = 1 AND permits = 0
    AND EXISTS (SELECT 1 FROM [rowlock].part
                WHERE provider = @provider AND number = @number AND mode = 2 AND expires_at > SYSUTCDATETIME());
  IF @@ROWCOUNT = 1
  BEGIN
    SELECT @token = token FROM [rowlock].lock WHERE name_key = @key;
    DELETE FROM [rowlock].part WHERE provider = @provider AND number = @number;
  END;
END;
COMMIT;
IF EXISTS (SELECT 1 FROM [rowlock].part
           WHERE provider = @provider AND number = @number AND mode = 2 AND expires_at > SYSUTCDATETIME())
  SET @mine = 1;
SELECT @token,
       CASE WHEN EXISTS (SELECT 1 FROM [rowlock].part WHERE name_key = @key AND expires_at <= SYSUTCDATETIME())
         THEN 1 ELSE 0 END,
       @mine, @pinned, @grantable)sql"};

// time to live in ms, 0 to withdraw; key
constexpr batch_text announce{R"sql(
DECLARE @ttl int = ?;
UPDATE [rowlock].lock
SET upgrading_until = CASE WHEN @ttl = 0 THEN '0001-01-01' ELSE DATEADD(MILLISECOND, @ttl, SYSUTCDATETIME()) END
WHERE name_key = ? AND upgraders > 0)sql"};

// key, pin. Where a transaction is fenced, nobody who has run out is taken for dead yet.
constexpr batch_text reap_parts{R"sql(
DECLARE @key varbinary(255) = ?, @pin nvarchar(255) = ?;
DECLARE @pinned int, @sharers int, @upgraders int, @permits int;
BEGIN TRANSACTION;
EXEC @pinned = sp_getapplock @Resource = @pin, @LockMode = 'Exclusive', @LockOwner = 'Transaction', @LockTimeout = 0;
IF @pinned >= 0
BEGIN
  UPDATE [rowlock].lock SET token = token WHERE name_key = @key;
  DELETE FROM [rowlock].part WHERE name_key = @key AND mode = 1 AND expires_at <= SYSUTCDATETIME();
  SET @sharers = @@ROWCOUNT;
  DELETE FROM [rowlock].part WHERE name_key = @key AND mode = 2 AND expires_at <= SYSUTCDATETIME();
  SET @upgraders = @@ROWCOUNT;
  DELETE FROM [rowlock].part WHERE name_key = @key AND mode = 3 AND expires_at <= SYSUTCDATETIME();
  SET @permits = @@ROWCOUNT;
  UPDATE [rowlock].lock
  SET sharers = sharers - @sharers, upgraders = upgraders - @upgraders, permits = permits - @permits,
      upgrading_until = CASE WHEN @upgraders > 0 THEN '0001-01-01' ELSE upgrading_until END
  WHERE name_key = @key;
END;
COMMIT)sql"};

// key, provider, number, give the bell back, bell. The bell rings when the row has been written.
constexpr batch_text release_exclusive{R"sql(
DECLARE @key varbinary(255) = ?, @provider bigint = ?, @number bigint = ?, @ring int = ?, @bell nvarchar(255) = ?;
DECLARE @rang int;
UPDATE [rowlock].lock SET expires_at = '0001-01-01'
WHERE name_key = @key AND provider = @provider AND number = @number;
IF @ring = 1 EXEC @rang = sp_releaseapplock @Resource = @bell, @LockOwner = 'Session')sql"};

// ..., mode
constexpr batch_text release_part{R"sql(
DECLARE @key varbinary(255) = ?, @provider bigint = ?, @number bigint = ?, @ring int = ?, @bell nvarchar(255) = ?,
        @mode int = ?;
DECLARE @rang int;
BEGIN TRANSACTION;
UPDATE [rowlock].lock SET token = token WHERE name_key = @key;
DELETE FROM [rowlock].part WHERE provider = @provider AND number = @number;
IF @@ROWCOUNT = 1
  UPDATE [rowlock].lock
  SET sharers = sharers - CASE @mode WHEN 1 THEN 1 ELSE 0 END,
      upgraders = upgraders - CASE @mode WHEN 2 THEN 1 ELSE 0 END,
      permits = permits - CASE @mode WHEN 3 THEN 1 ELSE 0 END,
      upgrading_until = CASE @mode WHEN 2 THEN '0001-01-01' ELSE upgrading_until END
  WHERE name_key = @key;
COMMIT;
IF @ring = 1 EXEC @rang = sp_releaseapplock @Resource = @bell, @LockOwner = 'Session')sql"};

// bell
constexpr batch_text ring_bell{R"sql(
DECLARE @rang int;
EXEC @rang = sp_releaseapplock @Resource = ?, @LockOwner = 'Session')sql"};

// queue, bell. However often the session holds them.
constexpr batch_text leave_both{R"sql(
DECLARE @queue nvarchar(255) = ?, @bell nvarchar(255) = ?;
DECLARE @left int = 0;
WHILE @left >= 0 AND APPLOCK_MODE('public', @queue, 'Session') <> 'NoLock'
  EXEC @left = sp_releaseapplock @Resource = @queue, @LockOwner = 'Session';
SET @left = 0;
WHILE @left >= 0 AND APPLOCK_MODE('public', @bell, 'Session') <> 'NoLock'
  EXEC @left = sp_releaseapplock @Resource = @bell, @LockOwner = 'Session')sql"};

// provider, number
constexpr batch_text find_lease{R"sql(
DECLARE @provider bigint = ?, @number bigint = ?;
SELECT mode, token, DATEDIFF(MILLISECOND, SYSUTCDATETIME(), expires_at)
FROM (SELECT 0 AS mode, token, expires_at FROM [rowlock].lock
      WHERE provider = @provider AND number = @number AND expires_at > SYSUTCDATETIME()
      UNION ALL
      SELECT mode, token, expires_at FROM [rowlock].part
      WHERE provider = @provider AND number = @number AND expires_at > SYSUTCDATETIME()) AS l)sql"};

std::int64_t as_int(std::uint64_t n) { return static_cast<std::int64_t>(n); }
std::int64_t flag(bool b) { return b ? 1 : 0; }
std::int64_t milliseconds_of(const lock_request& r) { return r.ttl.count(); }
odbc::bytes key_of(std::string_view name) { return {name}; }
fencing_token token(const odbc::rows& r, std::size_t row, std::size_t column) {
    return fencing_token{static_cast<std::uint64_t>(r.integer(row, column))};
}

// Some servers answer a request that cannot be granted at once as they do one that makes no sense. That one would
// seem busy for ever.
void check_pin(std::int64_t answer, bool grantable) {
    if (answer >= 0 || answer == -1 || !grantable) return;
    throw connection_error{"sp_getapplock refused the request",
                           {.backend = std::string{lease_store::name}, .native_code = static_cast<int>(answer)}};
}

// Exclusively, or shared with others who wait.
std::string_view mode_for(bool shared) { return shared ? applock_mode::shared : applock_mode::exclusive; }

wait_result get(lease_session& s, std::string_view resource, std::string_view mode, const wait_bound& w,
                milliseconds operation_timeout) {
    if (!get_while(s, resource, mode, w, operation_timeout)) return wait_result::ended;
    return s.waited() ? wait_result::granted : wait_result::at_once;
}

wait_result wait_for(lease_store::source& sessions, const lease_store::source::use& here, const std::string& resource,
                     std::string_view mode, const wait_bound& w, milliseconds operation_timeout) {
    const auto got = std::make_shared<wait_result>(wait_result::ended);
    wait_aside(sessions, here.who(), w, operation_timeout,
               [=](lease_session& s) { *got = get(s, resource, mode, w, operation_timeout); });
    return *got;
}

}  // namespace

// A lease counts from before it is asked for, and a short one is to be renewed soon after that: so what a session needs
// for its first try and its first renewal is not to be a part of them. Nothing has no name, and nobody holds it.
void lease_store::get_ready(session& s, deadline d) {
    const lock_request nothing{};
    const auto* const only = &nothing;
    (void)take(s, nothing, {}, {}, d);
    (void)renew(s, {&only, 1}, d);
}

void lease_store::check_ready(session& s, deadline d) { (void)s.run(no_question, d); }

bool lease_store::is_taken(session& s, const std::string& n, deadline d) {
    return s.run(look, d, key_of(n)).size() > 0;
}

detail::lease_answer lease_store::take(session& s, const lock_request& r, const keys& k, detail::lease_manners m,
                                       deadline d) {
    const std::string_view name_text = r.name, owner = r.owner, queue = k.queue, bell = k.bell, pin = k.pin;
    const auto run = [&](const batch_text& b, auto... more) {
        return s.run(b, d, key_of(r.name), name_text, as_int(r.id.provider), as_int(r.id.number), owner,
                     milliseconds_of(r), queue, bell, pin, flag(m.bell && !m.has_bell), flag(m.head), more...);
    };
    const bool exclusive = r.mode == lock_mode::exclusive;
    const auto rows =
        exclusive ? run(take_exclusive) : run(take_part, static_cast<std::int64_t>(r.mode), std::int64_t{r.permits});
    if (!rows.is_null(0, 0)) return {.token = token(rows, 0, 0), .bell = rows.truth(0, 1)};
    check_pin(rows.integer(0, 4), rows.truth(0, 5));
    // Those who share may meet at the pin for a moment.
    return {.dead_parts = rows.truth(0, 2),
            .contended = !exclusive && rows.integer(0, 4) < 0,
            .expires_in = milliseconds{rows.integer(0, 3)}};
}

detail::lease_answer lease_store::upgrade(session& s, const lock_request& r, deadline d) const {
    const auto k = keys_of(r.name);
    const auto rows = s.run(take_upgrade, d, key_of(r.name), as_int(r.id.provider), as_int(r.id.number),
                            std::string_view{r.owner}, milliseconds_of(r), std::string_view{k.pin});
    if (!rows.is_null(0, 0)) return {.token = token(rows, 0, 0)};
    check_pin(rows.integer(0, 3), rows.truth(0, 4));
    return {.dead_parts = rows.truth(0, 1), .lost = !rows.truth(0, 2)};
}

void lease_store::announce_upgrade(session& s, const lock_request& r, bool waits, deadline d) {
    (void)s.run(announce, d, waits ? milliseconds_of(r) : std::int64_t{0}, key_of(r.name));
}

bool lease_store::reap(session& s, const std::string& n, deadline d) const {
    (void)s.run(reap_parts, d, key_of(n), std::string_view{keys_of(n).pin});
    return true;
}

void lease_store::release(session& s, const lock_request& r, const keys& k, bool bell, deadline d) {
    const std::string_view resource = k.bell;
    if (r.mode == lock_mode::exclusive)
        (void)s.run(release_exclusive, d, key_of(r.name), as_int(r.id.provider), as_int(r.id.number), flag(bell),
                    resource);
    else
        (void)s.run(release_part, d, key_of(r.name), as_int(r.id.provider), as_int(r.id.number), flag(bell), resource,
                    static_cast<std::int64_t>(r.mode));
}

void lease_store::release_bell(session& s, lock_mode, const keys& k, deadline d) {
    (void)s.run(ring_bell, d, std::string_view{k.bell});
}

void lease_store::unlock_all(session& s, const keys& k, deadline d) {
    (void)s.run(leave_both, d, std::string_view{k.queue}, std::string_view{k.bell});
}

std::optional<detail::found_lease> lease_store::find(session& s, const lock_request& r, deadline d) {
    const auto rows = s.run(find_lease, d, as_int(r.id.provider), as_int(r.id.number));
    if (rows.size() == 0) return std::nullopt;
    return detail::found_lease{static_cast<lock_mode>(rows.integer(0, 0)), token(rows, 0, 1),
                               milliseconds{rows.integer(0, 2)}};
}

wait_result lease_store::wait_for_queue(source& sessions, const source::use& here, const keys& k, const wait_bound& w,
                                        milliseconds operation_timeout) {
    return wait_for(sessions, here, k.queue, mode_for(false), w, operation_timeout);
}

wait_result lease_store::wait_for_bell(source& sessions, const source::use& here, const keys& k, bool shared,
                                       const wait_bound& w, milliseconds operation_timeout) {
    return wait_for(sessions, here, k.bell, mode_for(shared), w, operation_timeout);
}

detail::queue_place lease_store::wait_for_both(source& sessions, const source::use& here, const keys& k, bool shared,
                                               const wait_bound& w, milliseconds patience,
                                               milliseconds operation_timeout) {
    const auto place = std::make_shared<detail::queue_place>();
    wait_aside(sessions, here.who(), w, operation_timeout, [=](lease_session& s) {
        const auto queue = get(s, k.queue, mode_for(false), w, operation_timeout);
        if (queue == wait_result::ended) return;
        const wait_bound shorter{std::min(w.until, deadline::after(patience)), w.stop};
        const auto bell = get(s, k.bell, mode_for(shared), shorter, operation_timeout);
        *place = {.head = true,
                  .bell = bell != wait_result::ended,
                  .at_once = queue == wait_result::at_once && bell == wait_result::at_once};
    });
    return *place;
}

}  // namespace rowlock::sqlserver
