#include "sqlite_schema.hpp"

#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

#include <SQLiteCpp/Statement.h>
#include <sqlite3.h>

#include <rowlock/deadline.hpp>
#include <rowlock/error.hpp>

#include "database_file.hpp"
#include "failure.hpp"

namespace rowlock::sqlite {
namespace {

using namespace std::chrono_literals;

constexpr auto has_history_sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'rowlock_migration'";
constexpr auto history_sql = "SELECT number, name, coalesce(checksum, '') FROM rowlock_migration ORDER BY number";
constexpr auto checksum_sql = "UPDATE rowlock_migration SET checksum = ?1 WHERE number = ?2 AND name = ?3";

// Runs `f`, again and again while somebody else has the database locked, until `d`.
template <class F>
decltype(auto) when_free(deadline d, const std::string& file, F f) {
    for (;;) {
        try {
            try {
                return f();
            } catch (const SQLite::Exception& e) {
                fail(e, file);
            }
        } catch (const busy&) {
            if (d.expired())
                throw connection_error{"the database " + file +
                                           " was locked by other transactions until the time was "
                                           "over; try again when they have ended",
                                       {.backend = "sqlite", .native_code = SQLITE_BUSY}};
            std::this_thread::sleep_for(1ms);
        }
    }
}

}  // namespace

sqlite_target::sqlite_target(std::filesystem::path file, options opt)
    : file_{std::move(file)}, options_{std::move(opt)} {}

sqlite_target::sqlite_target(SQLite::Database& callers) : file_{callers.getFilename()}, db_{&callers} {}

SQLite::Database& sqlite_target::open(int flags) {
    if (db_) return *db_;
    own_.emplace(file_.string(), flags | SQLite::OPEN_FULLMUTEX);
    return *own_;
}

std::vector<applied_migration> sqlite_target::applied() {
    if (!db_) {
        check_directory(file_, options_);
        if (!std::filesystem::exists(file_)) return {};
    }
    return when_free(deadline::after(options_.operation_timeout), file_, [&] {
        auto& db = own_ ? *own_ : open(SQLite::OPEN_READONLY);
        std::vector<applied_migration> all;
        if (SQLite::Statement has{db, has_history_sql}; !has.executeStep()) return all;
        SQLite::Statement history{db, history_sql};
        while (history.executeStep())
            all.push_back(
                {history.getColumn(0).getInt(), history.getColumn(1).getString(), history.getColumn(2).getString()});
        return all;
    });
}

void sqlite_target::exclusively(const std::function<void()>& change) {
    const auto d = deadline::after(options_.operation_timeout);
    auto& db = when_free(d, file_, [&]() -> SQLite::Database& {
        auto& opened = open(SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
        // Kept in the file. Readers and the writer do not block each other, and a commit is one append.
        if (!db_) opened.exec("PRAGMA journal_mode = WAL");
        if (sqlite3_get_autocommit(opened.getHandle()) == 0)
            throw std::logic_error{"a transaction is open on this SQLite connection; migrate outside of it"};
        opened.exec("BEGIN IMMEDIATE");
        return opened;
    });
    try {
        change();
        when_free(d, file_, [&] { db.exec("COMMIT"); });
    } catch (...) {
        db.tryExec("ROLLBACK");
        throw;
    }
}

void sqlite_target::apply(const migration& step) {
    auto& db = db_ ? *db_ : own_.value();
    when_free(deadline::passed(), file_, [&] {  // the write lock is ours already
        db.exec(std::string{step.sql});
        SQLite::Statement record{db, checksum_sql};
        record.bind(1, std::string{step.checksum});
        record.bind(2, step.number);
        record.bind(3, std::string{step.name});
        if (record.exec() != 1)
            throw schema_error{std::string{step.name} + " does not record itself in rowlock_migration",
                               {.backend = "sqlite"}};
    });
}

}  // namespace rowlock::sqlite
