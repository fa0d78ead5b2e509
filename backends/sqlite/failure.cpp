#include "failure.hpp"

#include <exception>

#include <SQLiteCpp/Exception.h>
#include <sqlite3.h>

#include <rowlock/error.hpp>

namespace rowlock::sqlite {
namespace {

std::string advice(int code, const std::string& message, const std::string& file) {
    switch (code & 0xFF) {
        case SQLITE_NOTADB:
            return file + " is not a SQLite database; check the path";
        case SQLITE_READONLY:
            return "the database " + file +
                   " is read-only; locking writes, so this user needs write permission on the "
                   "file and on its directory";
        case SQLITE_FULL:
            return "the disk that holds " + file + " is full; free some space and try again";
        case SQLITE_CANTOPEN:
            return "cannot open " + file +
                   "; this user needs permission on the file and on its directory, where "
                   "SQLite keeps its -wal and -shm files";
        case SQLITE_CORRUPT:
            return "the database " + file + " is damaged; restore it from a backup";
        case SQLITE_IOERR:
            return "the disk that holds " + file + " fails: " + message;
        default:
            return "SQLite on " + file + ": " + message;
    }
}

}  // namespace

void fail(int code, const std::string& message, const std::string& file) {
    if ((code & 0xFF) == SQLITE_BUSY || (code & 0xFF) == SQLITE_LOCKED) throw busy{};
    const error_context context{.backend = "sqlite", .native_code = code};
    if ((code & 0xFF) == SQLITE_ERROR && message.starts_with("no such table"))
        throw schema_error{
            "the database " + file + " is not migrated (" + message + "); run: rowlock migrate --db sqlite:" + file,
            context};
    throw connection_error{advice(code, message, file), context};
}

void fail(const SQLite::Exception& e, const std::string& file) {
    try {
        fail(e.getExtendedErrorCode() > 0 ? e.getExtendedErrorCode() : e.getErrorCode(), e.what(), file);
    } catch (const schema_error& ours) {
        std::throw_with_nested(ours);
    } catch (const connection_error& ours) {
        std::throw_with_nested(ours);
    }
}

}  // namespace rowlock::sqlite
