#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>

#include "failure.hpp"

namespace rowlock::sqlite {

/// A prepared statement that is kept. `run` binds and starts it; the cursor that comes back walks through its rows and
/// resets it at its end.
///
/// @code
/// for (auto row = find_.run(name, token); row.next();) use(row.integer(0), row.text(1));
/// delete_.run(name).finish();
/// @endcode
class statement {
public:
    statement(SQLite::Database& db, const char* sql) : statement_{db, sql}, db_{db} {}

    class cursor {
    public:
        explicit cursor(statement& s) : s_{s} {}
        cursor(const cursor&) = delete;
        cursor& operator=(const cursor&) = delete;
        ~cursor() { s_.statement_.tryReset(); }

        /// False: no further row. Throws `busy` or a `rowlock::error`.
        bool next() {
            if (s_.statement_.isDone()) return false;  // SQLite would call another step misuse
            if (const int code = s_.statement_.tryExecuteStep(); code != SQLite::OK && !known(code))
                fail(s_.db_.getExtendedErrorCode(), s_.db_.getErrorMsg(), s_.db_.getFilename());
            return s_.statement_.hasRow();
        }
        void finish() {
            while (next()) {
            }
        }

        [[nodiscard]] std::int64_t integer(int column) { return s_.statement_.getColumn(column).getInt64(); }
        [[nodiscard]] std::string text(int column) { return s_.statement_.getColumn(column).getString(); }

    private:
        static bool known(int code) noexcept { return code == 100 || code == 101; }  // SQLITE_ROW, SQLITE_DONE
        statement& s_;
    };

    /// Strings are not copied: they must live as long as the cursor.
    template <class... Arguments>
    cursor run(const Arguments&... arguments) {
        int index = 0;
        (bind(++index, arguments), ...);
        return cursor{*this};
    }

private:
    template <class T>
    void bind(int index, const T& value) {
        if constexpr (std::is_convertible_v<const T&, const std::string&>)
            statement_.bindNoCopy(index, value);
        else
            statement_.bind(index, static_cast<std::int64_t>(value));
    }

    SQLite::Statement statement_;
    SQLite::Database& db_;
};

}  // namespace rowlock::sqlite
