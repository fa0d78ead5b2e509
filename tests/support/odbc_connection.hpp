#pragma once

#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>

#include <sql.h>
#include <sqlext.h>

namespace rowlock::test {

/// A connection over ODBC as a program has it that knows nothing of the library.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class odbc_connection {
public:
    explicit odbc_connection(std::string connection_string) : text_{std::move(connection_string)} {
        check(SQLAllocHandle(SQL_HANDLE_ENV, SQL_NULL_HANDLE, &environment_), SQL_HANDLE_ENV, environment_);
        SQLSetEnvAttr(environment_, SQL_ATTR_ODBC_VERSION, reinterpret_cast<SQLPOINTER>(SQL_OV_ODBC3), 0);
        check(SQLAllocHandle(SQL_HANDLE_DBC, environment_, &connection_), SQL_HANDLE_ENV, environment_);
        connect();
    }
    ~odbc_connection() {
        SQLEndTran(SQL_HANDLE_DBC, connection_, SQL_ROLLBACK);
        SQLDisconnect(connection_);
        SQLFreeHandle(SQL_HANDLE_DBC, connection_);
        SQLFreeHandle(SQL_HANDLE_ENV, environment_);
    }
    odbc_connection(const odbc_connection&) = delete;
    odbc_connection& operator=(const odbc_connection&) = delete;

    [[nodiscard]] SQLHDBC handle() const { return connection_; }
    void connect() {
        // psqlODBC 13 sets the locale of the whole process while it connects.
        static std::mutex one_at_a_time;
        const std::lock_guard lock{one_at_a_time};
        auto text = text_;
        check(SQLDriverConnect(connection_, nullptr, reinterpret_cast<SQLCHAR*>(text.data()), SQL_NTS, nullptr, 0,
                               nullptr, SQL_DRIVER_NOPROMPT),
              SQL_HANDLE_DBC, connection_);
    }
    void disconnect() { check(SQLDisconnect(connection_), SQL_HANDLE_DBC, connection_); }

    /// Runs SQL to its end; the first column of the first row that it brings.
    std::string sql(std::string text) {
        statement s{*this};
        auto rc = SQLExecDirect(s.handle, reinterpret_cast<SQLCHAR*>(text.data()), SQL_NTS);
        std::optional<std::string> found;
        for (; rc != SQL_NO_DATA; rc = SQLMoreResults(s.handle)) {
            check(rc, SQL_HANDLE_STMT, s.handle);
            SQLSMALLINT columns = 0;
            SQLNumResultCols(s.handle, &columns);
            if (!found && columns > 0) found = s.next();
        }
        return found.value_or("");
    }

    void autocommit(bool on) { set(SQL_ATTR_AUTOCOMMIT, on ? SQL_AUTOCOMMIT_ON : SQL_AUTOCOMMIT_OFF); }
    void commit() { check(SQLEndTran(SQL_HANDLE_DBC, connection_, SQL_COMMIT), SQL_HANDLE_DBC, connection_); }
    void rollback() { check(SQLEndTran(SQL_HANDLE_DBC, connection_, SQL_ROLLBACK), SQL_HANDLE_DBC, connection_); }

    void set(SQLINTEGER attribute, unsigned long value) {
        check(SQLSetConnectAttr(connection_, attribute, reinterpret_cast<SQLPOINTER>(value), SQL_IS_UINTEGER),
              SQL_HANDLE_DBC, connection_);
    }
    [[nodiscard]] unsigned long get(SQLINTEGER attribute) const {
        SQLUINTEGER value = 0;
        check(SQLGetConnectAttr(connection_, attribute, &value, SQL_IS_UINTEGER, nullptr), SQL_HANDLE_DBC, connection_);
        return value;
    }

    /// A statement of the program's.
    struct statement {
        explicit statement(odbc_connection& c) {
            check(SQLAllocHandle(SQL_HANDLE_STMT, c.connection_, &handle), SQL_HANDLE_DBC, c.connection_);
        }
        ~statement() { SQLFreeHandle(SQL_HANDLE_STMT, handle); }
        statement(const statement&) = delete;
        statement& operator=(const statement&) = delete;

        void start(std::string text) {
            check(SQLExecDirect(handle, reinterpret_cast<SQLCHAR*>(text.data()), SQL_NTS), SQL_HANDLE_STMT, handle);
        }
        /// The first column of the next row; empty: there is none.
        std::optional<std::string> next() {
            const auto rc = SQLFetch(handle);
            if (rc == SQL_NO_DATA) return std::nullopt;
            check(rc, SQL_HANDLE_STMT, handle);
            SQLCHAR value[256] = "";
            SQLLEN length = 0;
            check(SQLGetData(handle, 1, SQL_C_CHAR, value, sizeof value, &length), SQL_HANDLE_STMT, handle);
            return reinterpret_cast<char*>(value);
        }
        SQLHANDLE handle = nullptr;
    };

private:
    static void check(SQLRETURN rc, SQLSMALLINT type, SQLHANDLE h) {
        if (SQL_SUCCEEDED(rc) || rc == SQL_NO_DATA) return;
        SQLCHAR state[6] = "", text[SQL_MAX_MESSAGE_LENGTH] = "";
        SQLINTEGER native = 0;
        SQLSMALLINT length = 0;
        (void)SQLGetDiagRec(type, h, 1, state, &native, text, sizeof text, &length);
        throw std::runtime_error{std::string{reinterpret_cast<char*>(state)} + " " + reinterpret_cast<char*>(text)};
    }

    const std::string text_;
    SQLHANDLE environment_ = nullptr, connection_ = nullptr;
};

}  // namespace rowlock::test
