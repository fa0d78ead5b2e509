#include "fence.hpp"

#include <stdexcept>
#include <string>

#include <rowlock/error.hpp>

#include <odbc/batch.hpp>
#include <wait_time.hpp>

#include "applock_backend.hpp"
#include "in_schema.hpp"
#include "lease_store.hpp"

namespace rowlock::sqlserver {
namespace {

// The first statement begins a transaction where one is to begin by itself, see implicit_transaction.hpp. What is read
// must be what is there, and must not stay locked to the end of the transaction, as renewals write it: so levels above
// READ COMMITTED (2) will not do. The pin is had before the row is read. What was not proved pins nothing. An applock
// of the same name may have raised the token of a lease that is held.
//
// provider, number, token, pin, mode, milliseconds
constexpr std::string_view pin_name = R"sql(
DECLARE @provider bigint = ?, @number bigint = ?, @token bigint = ?, @pin nvarchar(255) = ?, @mode nvarchar(32) = ?,
        @wait int = ?;
DECLARE @level int, @pinned int = -1000, @there int = 0, @held int = 0, @left int;
SELECT @there = COUNT(*) FROM INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = 'INFORMATION_SCHEMA';
SET @there = 0;
SELECT @level = transaction_isolation_level FROM sys.dm_exec_sessions WHERE session_id = @@SPID;
IF @level <= 2 AND @@TRANCOUNT > 0
BEGIN
  EXEC @pinned = sp_getapplock @Resource = @pin, @LockMode = @mode, @LockOwner = 'Transaction', @LockTimeout = @wait;
  IF @pinned >= 0
  BEGIN
    SELECT @there = COUNT(*), @held = COUNT(CASE WHEN token >= @token AND expires_at > SYSUTCDATETIME() THEN 1 END)
    FROM (SELECT token, expires_at FROM [rowlock].lock WHERE provider = @provider AND number = @number
          UNION ALL
          SELECT token, expires_at FROM [rowlock].part WHERE provider = @provider AND number = @number) AS l;
    IF @held = 0 EXEC @left = sp_releaseapplock @Resource = @pin, @LockOwner = 'Transaction';
  END;
END;
SELECT @@TRANCOUNT, @level, @pinned, @there, @held)sql";

constexpr int timed_out = -1;
constexpr int deadlock = -3;

error_context about(const lock_request& r, int native_code = 0) {
    return {.lock_name = r.name, .backend = std::string{lease_store::name}, .native_code = native_code};
}

void refuse_what_is_no_lease(const lock_handle& held, const lock_request& r) {
    if (held.backend() == lease_store::name) return;
    if (held.backend() == applock_backend::name)
        throw unsupported{
            "an applock has no row that a transaction could pin; use sqlserver+lease:, or take the lock in the "
            "transaction itself (rowlock::sqlserver::lock)",
            {.lock_name = r.name, .backend = std::string{held.backend()}}};
    throw std::invalid_argument{"the lock \"" + r.name + "\" is not held in SQL Server, but through \"" +
                                std::string{held.backend()} + "\""};
}

odbc::rows pinned(odbc::connection& c, const lock_request& r, fencing_token token, const options& opt) {
    const auto in_all = 2 * opt.operation_timeout;
    odbc::canceler by;
    c.driver_timeout(in_all);
    odbc::batch b{c, in_schema(pin_name, opt.schema)};
    const auto k = lease_keys_of(opt.schema, r.name);
    const auto mode = r.mode == lock_mode::exclusive ? applock_mode::intent_exclusive : applock_mode::shared;
    return b.run(by, deadline::after(in_all), static_cast<std::int64_t>(r.id.provider),
                 static_cast<std::int64_t>(r.id.number), static_cast<std::int64_t>(token.value()),
                 std::string_view{k.pin}, mode, std::int64_t{opt.operation_timeout.count()});
}

}  // namespace

void pin(odbc::connection& c, const lock_handle& held) {
    const auto r = held.request();  // throws if the handle is empty
    refuse_what_is_no_lease(held, r);
    const auto answer = pinned(c, r, held.token().value_or(fencing_token{0}), held.settings());
    if (answer.truth(0, 4)) return;
    if (answer.integer(0, 1) > 2)
        throw unsupported{
            "a transaction can be fenced in READ COMMITTED only: in REPEATABLE READ and SERIALIZABLE the lease could "
            "not "
            "be renewed until its end, in SNAPSHOT it sees what was, not what is",
            about(r)};
    if (answer.integer(0, 0) == 0)
        throw std::logic_error{
            "no transaction is open on this connection, so there is nothing to fence: BEGIN TRANSACTION first, or turn "
            "SQL_ATTR_AUTOCOMMIT off"};
    const auto code = static_cast<int>(answer.integer(0, 2));
    if (code == deadlock)
        throw deadlock_detected{"SQL Server ended the wait for the lock's pin, because it closed a circle of waits",
                                about(r, code)};
    if (code == timed_out)
        throw connection_error{"somebody was taking the lock \"" + r.name + "\" all the time allowed", about(r, code)};
    if (code < 0) throw connection_error{"sp_getapplock refused the request", about(r, code)};
    try {
        held.verify();  // which says why
    } catch (const std::logic_error&) {
        throw lock_lost{"the lock \"" + r.name + "\" has been released", about(r)};
    } catch (const odbc::connection_busy&) {  // of leases_on this connection: it is in the fenced transaction
        throw lock_lost{"the lock \"" + r.name + "\" was lost before it could be fenced", about(r)};
    }
    if (answer.integer(0, 3) == 0)
        throw connection_error{"the lock \"" + r.name + "\" is not in the database that this connection uses",
                               about(r)};
    throw lock_lost{"the lock \"" + r.name + "\" has another token than the one that was granted", about(r)};
}

}  // namespace rowlock::sqlserver
