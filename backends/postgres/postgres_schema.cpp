#include "postgres_schema.hpp"

#include <string>
#include <vector>

#include <rowlock/error.hpp>

#include <migrations_in_schema.hpp>

#include "lock_key.hpp"

namespace rowlock::postgres {
namespace {

// $1 schema. Not to_regclass: that may answer from the session's cache of names, and so miss what was committed while
// this transaction waited for its turn.
constexpr statement has_history{"rowlock_has_history", R"sql(
SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = $1::text AND c.relname = 'migration'))sql"};
constexpr statement history{"rowlock_history",
                            "SELECT number, name, coalesce(checksum, '') FROM rowlock.migration ORDER BY number"};

// $1 checksum, $2 number, $3 name
constexpr statement record_checksum{
    "rowlock_record_checksum",
    "UPDATE rowlock.migration SET checksum = $1::text WHERE number = $2::bigint AND name = $3::text RETURNING 1"};

// The same key for everybody, first 64 bits of SHA-256 of "rowlock migration". Ends with the transaction.
constexpr auto one_at_a_time = "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock({key})";

}  // namespace

postgres_target::postgres_target(conninfo to, const options& opt)
    : to_{std::move(to)},
      timeout_{opt.operation_timeout},
      schema_{opt.schema},
      steps_{detail::migrations_in_schema(migrations(), schema_, &in_schema)} {}

postgres_target::postgres_target(PGconn* borrowed, const options& opt)
    : timeout_{opt.operation_timeout},
      schema_{opt.schema},
      steps_{detail::migrations_in_schema(migrations(), schema_, &in_schema)} {
    visit_.emplace(borrowed);
    session_.emplace(borrowed, "postgresql", schema_);
    session_->prepares = false;
}

session& postgres_target::connected() {
    if (session_ && (session_->usable() || !to_)) return *session_;
    session_.emplace(*to_, "postgresql", deadline::after(timeout_));
    session_->prepares = false;
    return *session_;
}

void postgres_target::roll_back() noexcept {
    try {
        if (session_->in_transaction()) (void)session_->run_script("ROLLBACK", deadline::after(timeout_));
    } catch (const std::exception&) {
        if (to_) session_.reset();  // which rolls back; one that is borrowed is broken now, and its owner will see
    }
}

std::vector<applied_migration> postgres_target::applied() {
    const auto d = deadline::after(timeout_);
    auto& s = connected();
    std::vector<applied_migration> all;
    if (!s.run(has_history, d, schema_).truth(0, 0)) return all;
    const auto rows = s.run(history, d);
    for (int i = 0; i < rows.rows(); ++i)
        all.push_back({static_cast<int>(rows.integer(i, 0)), rows.text(i, 1), rows.text(i, 2)});
    return all;
}

void postgres_target::exclusively(const std::function<void()>& change) {
    auto& s = connected();
    const auto key = "'" + std::to_string(key_of("rowlock migration")) + "'::bigint";
    std::string begin{one_at_a_time};
    begin.replace(begin.find("{key}"), 5, key);
    try {
        (void)s.run_script(begin, deadline::after(timeout_));
        change();
        (void)s.run_script("COMMIT", deadline::after(timeout_));
    } catch (const error& e) {
        roll_back();
        if (e.sqlstate() != sqlstate::insufficient_privilege) throw;
        throw connection_error{
            "this role may not migrate the database; let a superuser run `GRANT CREATE ON DATABASE ... TO role` first, "
            "or the output of `rowlock migrate --print`; nothing was changed",
            {.backend = "postgresql", .sqlstate = e.sqlstate()}};
    } catch (...) {
        roll_back();
        throw;
    }
}

void postgres_target::apply(const migration& step) {
    auto& s = connected();
    const auto d = deadline::after(timeout_);
    (void)s.run_script(std::string{step.sql}, d);
    if (s.run(record_checksum, d, step.checksum, std::int64_t{step.number}, step.name).rows() != 1)
        throw schema_error{std::string{step.name} + " does not record itself in " + schema_ + ".migration",
                           {.backend = "postgresql"}};
}

}  // namespace rowlock::postgres
