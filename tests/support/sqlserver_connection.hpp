#pragma once

#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <sql.h>
#include <sqlext.h>

namespace rowlock::test {

/// The server that speaks TDS which tests may use, as a connection string of ODBC; empty: none was named.
[[nodiscard]] inline std::optional<std::string> sqlserver() {
    const char* const text = std::getenv("ROWLOCK_TEST_SQLSERVER");
    return text && *text ? std::optional<std::string>{text} : std::nullopt;
}
inline constexpr auto no_sqlserver = "ROWLOCK_TEST_SQLSERVER does not name a server that speaks TDS";

/// `text` as a literal of T-SQL.
[[nodiscard]] inline std::string literal(std::string_view text) {
    std::string out = "N'";
    for (const char c : text) out += c == '\'' ? std::string{"''"} : std::string{c};
    return out + "'";
}

/// Bytes as a literal of T-SQL.
[[nodiscard]] inline std::string bytes_literal(std::string_view bytes) {
    std::string out = "0x";
    for (const char c : bytes)
        for (const int shift : {4, 0}) out += "0123456789abcdef"[static_cast<unsigned char>(c) >> shift & 0xF];
    return out;
}

/// One bare connection through ODBC, past the library.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class sqlserver_connection {
public:
    explicit sqlserver_connection(std::string connection_string) {
        check(SQLAllocHandle(SQL_HANDLE_ENV, SQL_NULL_HANDLE, &environment_), SQL_HANDLE_ENV, environment_);
        SQLSetEnvAttr(environment_, SQL_ATTR_ODBC_VERSION, reinterpret_cast<SQLPOINTER>(SQL_OV_ODBC3), 0);
        check(SQLAllocHandle(SQL_HANDLE_DBC, environment_, &connection_), SQL_HANDLE_ENV, environment_);
        check(SQLDriverConnect(connection_, nullptr, reinterpret_cast<SQLCHAR*>(connection_string.data()), SQL_NTS,
                               nullptr, 0, nullptr, SQL_DRIVER_NOPROMPT),
              SQL_HANDLE_DBC, connection_);
    }
    ~sqlserver_connection() {
        SQLDisconnect(connection_);
        SQLFreeHandle(SQL_HANDLE_DBC, connection_);
        SQLFreeHandle(SQL_HANDLE_ENV, environment_);
    }
    sqlserver_connection(const sqlserver_connection&) = delete;
    sqlserver_connection& operator=(const sqlserver_connection&) = delete;

    [[nodiscard]] SQLHDBC handle() const noexcept { return connection_; }

    /// Runs T-SQL; the first column of the first row that it brings.
    std::string sql(std::string text) {
        SQLHANDLE statement = nullptr;
        check(SQLAllocHandle(SQL_HANDLE_STMT, connection_, &statement), SQL_HANDLE_DBC, connection_);
        const struct freed {
            SQLHANDLE h;
            ~freed() { SQLFreeHandle(SQL_HANDLE_STMT, h); }
        } at_end{statement};
        auto rc = SQLExecDirect(statement, reinterpret_cast<SQLCHAR*>(text.data()), SQL_NTS);
        std::optional<std::string> found;
        for (; rc != SQL_NO_DATA; rc = SQLMoreResults(statement)) {
            check(rc, SQL_HANDLE_STMT, statement);
            SQLSMALLINT columns = 0;
            SQLNumResultCols(statement, &columns);
            if (found || columns == 0 || SQLFetch(statement) == SQL_NO_DATA) continue;
            char value[256] = "";
            SQLLEN length = 0;
            check(SQLGetData(statement, 1, SQL_C_CHAR, value, sizeof value, &length), SQL_HANDLE_STMT, statement);
            found = value;
        }
        return found.value_or("");
    }

    /// Whether this session could have the applock now.
    [[nodiscard]] bool is_free(std::string_view resource, std::string_view mode = "Exclusive") {
        return sql("SELECT APPLOCK_TEST('public', " + literal(resource) + ", '" + std::string{mode} +
                   "', 'Session')") == "1";
    }

private:
    static void check(SQLRETURN rc, SQLSMALLINT type, SQLHANDLE h) {
        if (SQL_SUCCEEDED(rc)) return;
        SQLCHAR state[6] = "", text[SQL_MAX_MESSAGE_LENGTH] = "";
        SQLINTEGER native = 0;
        SQLSMALLINT length = 0;
        (void)SQLGetDiagRec(type, h, 1, state, &native, text, sizeof text, &length);
        throw std::runtime_error{std::string{reinterpret_cast<char*>(state)} + " " + reinterpret_cast<char*>(text)};
    }

    SQLHANDLE environment_ = nullptr, connection_ = nullptr;
};

}  // namespace rowlock::test
