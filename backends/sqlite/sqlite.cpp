#include <rowlock/sqlite.hpp>

#include <stdexcept>
#include <utility>

#include <SQLiteCpp/Database.h>
#include <sqlite3.h>

#include <rowlock/error.hpp>

#include <check_options.hpp>

#include "connection.hpp"
#include "database_file.hpp"
#include "sqlite_backend.hpp"
#include "sqlite_entry.hpp"
#include "sqlite_schema.hpp"

namespace rowlock::sqlite {
namespace {

provider open_url(std::string_view rest, options opt) { return open(std::filesystem::path{rest}, std::move(opt)); }

std::unique_ptr<migration_target> target_of(std::string_view rest, const options& opt) {
    return std::make_unique<sqlite_target>(database_path(rest), opt);
}

}  // namespace

const detail::backend_entry entry{"sqlite:", "sqlite:PATH", &open_url, &target_of, &diagnose};

provider open(const std::filesystem::path& path, options opt) {
    detail::check(opt);
    const auto d = deadline::after(opt.operation_timeout);
    const auto file = database_path(path.native());
    check_file(file, opt);
    schema{std::make_unique<sqlite_target>(file, opt)}.check();
    const auto both = std::make_shared<connection>(file);
    both->read(d, [](lease_store&) {});  // says what is wrong before anything is made beside the database
    auto b = std::make_unique<sqlite_backend>(both, both, arena::open(file, d), d);
    return provider{std::move(b), std::move(opt)};
}

provider on(SQLite::Database& db, options opt) {
    detail::check(opt);
    const auto d = deadline::after(opt.operation_timeout);
    // As SQLite resolved it; empty for databases without a file.
    const char* name = sqlite3_db_filename(db.getHandle(), "main");
    if (!name || *name == '\0')
        throw std::invalid_argument{"this SQLite connection has no file; for locks of one process use memory:"};
    if (!sqlite3_db_mutex(db.getHandle()))
        throw std::invalid_argument{
            "this SQLite connection was opened with SQLITE_OPEN_NOMUTEX; locks are used from "
            "several threads, so open it with SQLITE_OPEN_FULLMUTEX"};
    const std::filesystem::path file{name};
    check_file(file, opt);
    schema{std::make_unique<sqlite_target>(db)}.check();
    auto b = std::make_unique<sqlite_backend>(std::make_shared<connection>(db), std::make_shared<connection>(file),
                                              arena::open(file, d), d);
    return provider{std::move(b), std::move(opt)};
}

void fence(SQLite::Database& db, const lock_handle& held) {
    const auto r = held.request();
    if (sqlite3_get_autocommit(db.getHandle()) != 0)
        throw std::logic_error{"fence() protects a transaction: begin one first (BEGIN IMMEDIATE)"};
    const error_context context{.lock_name = r.name, .backend = "sqlite"};
    try {
        if (!lease_store::pin(db, r))
            throw lock_lost{"the lock \"" + r.name + "\" is not held any more in " + db.getFilename() +
                                "; roll back, nothing of this transaction is protected",
                            context};
    } catch (const busy&) {
        throw connection_error{
            "another writer is in the way of this transaction, which has to be rolled back; begin "
            "it with BEGIN IMMEDIATE, so that it waits instead",
            context};
    } catch (const SQLite::Exception& e) {
        fail(e, db.getFilename());
    }
}

void migrate(SQLite::Database& db) { (void)schema{std::make_unique<sqlite_target>(db)}.migrate(); }

void migrate(const std::filesystem::path& path) {
    (void)schema{std::make_unique<sqlite_target>(database_path(path.native()), options{})}.migrate();
}

}  // namespace rowlock::sqlite
