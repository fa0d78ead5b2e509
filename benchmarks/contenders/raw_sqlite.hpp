#pragma once

#include <sqlite3.h>

#include <concepts>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string_view>

namespace bench {

/// SQLite's C interface with nothing around it that costs.
class raw_database {
public:
    explicit raw_database(const std::filesystem::path& file) {
        sqlite3* db = nullptr;
        const int code = sqlite3_open_v2(file.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
        db_.reset(db);
        if (code != SQLITE_OK) fail();
        sqlite3_busy_timeout(db, 5000);  // the library renews its leases meanwhile
        run("PRAGMA journal_mode = WAL");
        run("PRAGMA synchronous = NORMAL");
    }
    void run(const char* sql) {
        if (sqlite3_exec(get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail();
    }
    [[nodiscard]] sqlite3* get() const { return db_.get(); }
    [[noreturn]] void fail() const { throw std::runtime_error{sqlite3_errmsg(get())}; }

private:
    struct closer {
        void operator()(sqlite3* db) const { sqlite3_close(db); }
    };
    std::unique_ptr<sqlite3, closer> db_;
};

/// Somebody else is writing, or has written since this transaction began to read.
struct database_busy : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A prepared statement that is kept.
class raw_statement {
public:
    raw_statement(raw_database& db, const char* sql) : db_{db} {
        sqlite3_stmt* s = nullptr;
        if (sqlite3_prepare_v3(db.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &s, nullptr) != SQLITE_OK) db.fail();
        statement_.reset(s);
    }

    /// Binds, runs through all rows and reads their columns; the first column of the last row.
    template <class... Arguments>
    std::int64_t operator()(const Arguments&... arguments) {
        auto* s = statement_.get();
        int index = 0;
        (bind(++index, arguments), ...);
        std::int64_t first = 0;
        int code = SQLITE_OK;
        while ((code = sqlite3_step(s)) == SQLITE_ROW) {
            first = sqlite3_column_int64(s, 0);
            for (int c = sqlite3_column_count(s) - 1; c > 0; --c) read_column(s, c);
        }
        sqlite3_reset(s);
        if ((code & 0xFF) == SQLITE_BUSY) throw database_busy{sqlite3_errmsg(db_.get())};
        if (code != SQLITE_DONE) db_.fail();
        return first;
    }

private:
    void bind(int index, std::integral auto value) {
        sqlite3_bind_int64(statement_.get(), index, static_cast<std::int64_t>(value));
    }
    void bind(int index, std::string_view value) {
        sqlite3_bind_text(statement_.get(), index, value.data(), static_cast<int>(value.size()), SQLITE_STATIC);
    }
    static void read_column(sqlite3_stmt* s, int column) {
        if (sqlite3_column_type(s, column) == SQLITE_TEXT)
            (void)sqlite3_column_text(s, column);
        else
            (void)sqlite3_column_int64(s, column);
    }

    struct finalizer {
        void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
    };
    raw_database& db_;
    std::unique_ptr<sqlite3_stmt, finalizer> statement_;
};

}  // namespace bench
