#include "lease_session.hpp"

#include <chrono>
#include <random>
#include <thread>
#include <utility>

#include "in_schema.hpp"

namespace rowlock::sqlserver {
namespace {

constexpr int attempts = 10;

// Error numbers. https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
namespace number {
constexpr int deadlock_victim = 1205;
constexpr int duplicate_key = 2627;
constexpr int duplicate_key_of_index = 2601;
}  // namespace number

// With XACT_ABORT an error ends the whole batch, and its transaction. A driver manager that pools connections hands out
// ones whose isolation level somebody else has set.
constexpr std::string_view settings =
    "SET XACT_ABORT ON; SET NOCOUNT ON; SET IMPLICIT_TRANSACTIONS OFF; SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

// Around a batch on somebody else's connection. The first row says whether it was ready; if not, nothing more is done.
// Implicit transactions (2 in @@OPTIONS) are begun by the first statement that reads a table. XACT_ABORT (16384) also
// rolls back what a cancellation ends. SQL Server takes back what a prepared batch has set, even where an error ends
// it; others do not, so it is done here. READ UNCOMMITTED (1) does no harm: what is written is looked at under its
// lock.
constexpr std::string_view if_ready = R"sql(
DECLARE @rowlock_options int = @@OPTIONS, @rowlock_level int;
SELECT @@TRANCOUNT, @@OPTIONS & 2;
IF @@TRANCOUNT > 0 OR (@@OPTIONS & 2) <> 0 RETURN;
SELECT @rowlock_level = transaction_isolation_level FROM sys.dm_exec_sessions WHERE session_id = @@SPID;
SET XACT_ABORT ON; SET NOCOUNT ON;
IF @rowlock_level > 2 SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
)sql";
constexpr std::string_view as_it_was = R"sql(;
IF @rowlock_level = 3 SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
IF @rowlock_level = 4 SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;
IF @rowlock_level = 5 SET TRANSACTION ISOLATION LEVEL SNAPSHOT;
IF (@rowlock_options & 16384) = 0 SET XACT_ABORT OFF;
IF (@rowlock_options & 512) = 0 SET NOCOUNT OFF;
)sql";

constexpr auto every_statement_begins_one =
    "every statement on this connection begins a transaction, and neither leases nor tokens can be part of one: switch "
    "SQL_ATTR_AUTOCOMMIT on (or SET IMPLICIT_TRANSACTIONS OFF), or use connections of the library's own";

constexpr batch_text roll_back{"IF @@TRANCOUNT > 0 ROLLBACK"};

bool may_be_run_again(const error& e) {
    return e.native_code() == number::deadlock_victim || e.native_code() == number::duplicate_key ||
           e.native_code() == number::duplicate_key_of_index;
}

}  // namespace

lease_session::lease_session(const odbc::environment& e, odbc::canceler& c, const std::string& connection_string,
                             std::string_view backend, std::string schema, deadline d)
    : applock_session{e, c, connection_string, backend, d}, canceler_{c}, schema_{std::move(schema)} {
    if (!schema_.empty()) odbc::batch::run_once(connection(), settings, c, d);
}

lease_session::lease_session(SQLHDBC theirs, odbc::canceler& c, std::string_view backend, std::string schema)
    : applock_session{theirs, c, backend}, canceler_{c}, schema_{std::move(schema)} {}

odbc::batch& lease_session::prepare(const batch_text& b) {
    auto& found = prepared_[&b];
    if (found) return *found;
    auto sql = in_schema(b.sql, schema_);
    if (borrowed()) sql = std::string{if_ready} + sql + std::string{as_it_was};
    found = std::make_unique<odbc::batch>(connection(), sql);
    return *found;
}

// Some drivers begin the transaction by themselves, so that it is the batch that would be the first to be part of it.
void lease_session::check_autocommit() {
    if (borrowed() && usable() && !connection().commits_by_itself())
        throw odbc::connection_busy{every_statement_begins_one, {.backend = std::string{connection().backend()}}};
}

void lease_session::check_was_ready(odbc::rows& found) {
    if (!borrowed()) return;
    const bool transaction = found.truth(0, 0), implicit = found.truth(0, 1);
    found.drop_first();
    if (!transaction && !implicit) return;
    throw odbc::connection_busy{
        implicit ? every_statement_begins_one
                 : "a transaction is open on this connection, and neither leases nor tokens can be part of one: end it "
                   "first, or use connections of the library's own",
        {.backend = std::string{connection().backend()}}};
}

// Returns if it makes sense to run the batch again.
void lease_session::recover(const error& e, int tries, deadline d) {
    if (!usable()) throw;
    if (!borrowed()) {  // there XACT_ABORT has rolled back what was ours; whatever is open is not
        try {
            (void)prepare(roll_back).run(canceler_, d);
        } catch (const error&) {
            abandon();
        }
    }
    if (!usable() || !may_be_run_again(e) || tries == attempts || d.expired()) throw;
    thread_local std::minstd_rand random{std::random_device{}()};
    std::this_thread::sleep_for(std::chrono::microseconds{std::uniform_int_distribution{100, 1000 * tries}(random)});
}

}  // namespace rowlock::sqlserver
