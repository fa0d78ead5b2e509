#include "sqlserver_schema.hpp"

#include <stdexcept>
#include <utility>
#include <vector>

#include <rowlock/error.hpp>

#include <migrations_in_schema.hpp>

#include "in_schema.hpp"
#include "opening.hpp"

namespace rowlock::sqlserver {
namespace {

constexpr std::string_view name = "sqlserver";

// Reads no table: that would begin a transaction where SET IMPLICIT_TRANSACTIONS is ON, which is 2 in @@OPTIONS.
constexpr std::string_view transactions = "SELECT @@TRANCOUNT, @@OPTIONS & 2";

// schema
constexpr std::string_view has_history = R"sql(
SELECT COUNT(*) FROM sys.tables AS t INNER JOIN sys.schemas AS s ON s.schema_id = t.schema_id
WHERE s.name = ? AND t.name = 'migration')sql";
constexpr std::string_view history =
    "SELECT number, name, COALESCE(checksum, '') FROM [rowlock].migration ORDER BY number";

// checksum, number, name
constexpr std::string_view record_checksum = R"sql(
UPDATE [rowlock].migration SET checksum = ? WHERE number = ? AND name = ?;
SELECT @@ROWCOUNT)sql";

// One at a time in a database, whatever the schema. A timeout of the lock is longer than that of the call.
constexpr std::string_view begin = "SET XACT_ABORT ON; SET NOCOUNT ON; BEGIN TRANSACTION";
// milliseconds
constexpr std::string_view wait_for_turn = R"sql(
DECLARE @got int;
EXEC @got = sp_getapplock @Resource = 'rowlock:migration', @LockMode = 'Exclusive', @LockOwner = 'Transaction',
                          @LockTimeout = ?;
SELECT @got)sql";
// The two that are set, as they are before, are those bits of @@OPTIONS.
constexpr std::string_view session_options = "SELECT @@OPTIONS";
constexpr std::int64_t xact_abort = 16384, no_count = 512;
constexpr std::string_view commit = "COMMIT";
constexpr std::string_view roll_back_all = "IF @@TRANCOUNT > 0 ROLLBACK";

// https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
bool is_denied(const error& e) {
    return e.native_code() == 229 || e.native_code() == 262 || e.native_code() == 2759 || e.native_code() == 2760;
}

}  // namespace

sqlserver_target::sqlserver_target(std::string connection_string, const options& opt)
    : connection_string_{std::move(connection_string)},
      timeout_{opt.operation_timeout},
      schema_{opt.schema},
      steps_{detail::migrations_in_schema(migrations(), schema_, &in_schema)} {}

sqlserver_target::sqlserver_target(odbc::connection& borrowed, const options& opt)
    : timeout_{opt.operation_timeout},
      schema_{opt.schema},
      steps_{detail::migrations_in_schema(migrations(), schema_, &in_schema)},
      connection_{&borrowed} {
    borrowed.driver_timeout(timeout_);
}

void sqlserver_target::check_no_transaction() {
    constexpr auto every_statement_begins_one =
        "every statement on this connection begins a transaction, and a migration cannot be part of one: switch "
        "SQL_ATTR_AUTOCOMMIT on (or SET IMPLICIT_TRANSACTIONS OFF) for it, or give a connection string";
    // Some drivers begin the transaction by themselves, so that it is asked for from within.
    if (!connected().commits_by_itself()) throw std::logic_error{every_statement_begins_one};
    try {
        const auto now = run(transactions);
        if (now.truth(0, 0))
            throw std::logic_error{
                "a transaction is open on this connection, and a migration cannot be part of one: end it first, or "
                "give a connection string"};
        if (now.truth(0, 1)) throw std::logic_error{every_statement_begins_one};
    } catch (const odbc::connection_busy& e) {
        throw std::logic_error{e.what()};
    }
}

odbc::connection& sqlserver_target::connected() {
    if (connection_ && (connection_->usable() || !owned_)) return *connection_;
    owned_ = open_connection(connection_string_, name, deadline::after(timeout_));
    owned_->driver_timeout(timeout_);
    connection_ = owned_.get();
    return *connection_;
}

void sqlserver_target::run_once(std::string_view sql) {
    odbc::batch::run_once(connected(), sql, canceler_, deadline::after(timeout_));
}

template <class... T>
odbc::rows sqlserver_target::run(std::string_view sql, const T&... values) {
    odbc::batch b{connected(), in_schema(sql, schema_)};
    return b.run(canceler_, deadline::after(timeout_), values...);
}

void sqlserver_target::roll_back() noexcept {
    try {
        if (connection_->usable()) run_once(roll_back_all);
    } catch (const std::exception&) {  // it is broken now; one that is borrowed is its owner's to see
    }
}

std::vector<applied_migration> sqlserver_target::applied() {
    std::vector<applied_migration> all;
    if (run(has_history, std::string_view{schema_}).integer(0, 0) == 0) return all;
    const auto rows = run(history);
    for (std::size_t i = 0; i < rows.size(); ++i)
        all.push_back({static_cast<int>(rows.integer(i, 0)), rows.text(i, 1), rows.text(i, 2)});
    return all;
}

void sqlserver_target::put_back(std::int64_t before) noexcept {
    try {
        if ((before & xact_abort) == 0) run_once("SET XACT_ABORT OFF");
        if ((before & no_count) == 0) run_once("SET NOCOUNT OFF");
    } catch (const std::exception&) {  // it is broken
    }
}

void sqlserver_target::exclusively(const std::function<void()>& change) {
    const auto before = run(session_options).integer(0, 0);
    try {
        run_once(begin);
        if (run(wait_for_turn, std::int64_t{timeout_.count()}).integer(0, 0) < 0)
            throw connection_error{
                "another process is migrating this database, and has not come to an end within the time allowed",
                {.backend = std::string{name}}};
        change();
        run_once(commit);
        put_back(before);
    } catch (const error& e) {
        roll_back();
        put_back(before);
        if (!is_denied(e)) throw;
        throw connection_error{
            "this user may not migrate the database; let a member of db_owner do it, or run the output of `rowlock "
            "migrate --print`; nothing was changed",
            {.backend = std::string{name}, .sqlstate = e.sqlstate(), .native_code = e.native_code()}};
    } catch (...) {
        roll_back();
        put_back(before);
        throw;
    }
}

void sqlserver_target::apply(const migration& step) {
    run_once(step.sql);
    if (run(record_checksum, step.checksum, std::int64_t{step.number}, step.name).integer(0, 0) != 1)
        throw schema_error{std::string{step.name} + " does not record itself in " + schema_ + ".migration",
                           {.backend = std::string{name}}};
}

}  // namespace rowlock::sqlserver
