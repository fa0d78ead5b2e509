#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <sql.h>
#include <sqlext.h>

namespace bench {

[[noreturn]] inline void fail_odbc(SQLSMALLINT type, SQLHANDLE h) {
    std::array<SQLCHAR, 6> state{};
    std::array<SQLCHAR, 512> text{};
    SQLINTEGER native = 0;
    SQLSMALLINT length = 0;
    (void)SQLGetDiagRec(type, h, 1, state.data(), &native, text.data(), static_cast<SQLSMALLINT>(text.size()), &length);
    throw std::runtime_error{reinterpret_cast<const char*>(text.data())};
}

/// A connection of bare ODBC, kept.
class raw_odbc {
public:
    explicit raw_odbc(std::string text) {
        if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_ENV, SQL_NULL_HANDLE, &environment_)))
            throw std::runtime_error{"the ODBC driver manager does not work"};
        // ODBC passes small numbers in place of pointers.
        (void)SQLSetEnvAttr(environment_, SQL_ATTR_ODBC_VERSION,
                            reinterpret_cast<SQLPOINTER>(SQL_OV_ODBC3),  // NOLINT(performance-no-int-to-ptr)
                            0);
        if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_DBC, environment_, &handle_)))
            fail_odbc(SQL_HANDLE_ENV, environment_);
        if (!SQL_SUCCEEDED(SQLDriverConnect(handle_, nullptr, reinterpret_cast<SQLCHAR*>(text.data()), SQL_NTS, nullptr,
                                            0, nullptr, SQL_DRIVER_NOPROMPT)))
            fail_odbc(SQL_HANDLE_DBC, handle_);
    }
    ~raw_odbc() {
        SQLDisconnect(handle_);
        SQLFreeHandle(SQL_HANDLE_DBC, handle_);
        SQLFreeHandle(SQL_HANDLE_ENV, environment_);
    }
    raw_odbc(const raw_odbc&) = delete;
    raw_odbc& operator=(const raw_odbc&) = delete;
    [[nodiscard]] SQLHANDLE get() const noexcept { return handle_; }

    /// Not prepared: what it sets stays with the session.
    void run(std::string sql) const {
        SQLHANDLE h = nullptr;
        if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_STMT, handle_, &h))) fail_odbc(SQL_HANDLE_DBC, handle_);
        auto rc = SQLExecDirect(h, reinterpret_cast<SQLCHAR*>(sql.data()), SQL_NTS);
        while (SQL_SUCCEEDED(rc)) rc = SQLMoreResults(h);
        if (rc != SQL_NO_DATA) fail_odbc(SQL_HANDLE_STMT, h);
        SQLFreeHandle(SQL_HANDLE_STMT, h);
    }

private:
    SQLHANDLE environment_ = nullptr, handle_ = nullptr;
};

/// A parameter that is text, in the types that the library binds: NVARCHAR, from UTF-16. The names here are ASCII.
class raw_text {
public:
    explicit raw_text(std::string_view ascii)
        : units_(ascii.begin(), ascii.end()), bytes_{static_cast<SQLLEN>(units_.size() * sizeof(SQLWCHAR))} {
        for (const char c : ascii)
            if (static_cast<unsigned char>(c) > 0x7F) throw std::invalid_argument{"a name that is not ASCII"};
    }
    [[nodiscard]] SQLWCHAR* data() noexcept { return units_.data(); }
    [[nodiscard]] SQLLEN* bytes() noexcept { return &bytes_; }

private:
    std::basic_string<SQLWCHAR> units_;
    SQLLEN bytes_;
};

/// A statement, prepared once, whose parameters are bound once, to variables that outlive it.
class raw_odbc_statement {
public:
    raw_odbc_statement(const raw_odbc& c, std::string sql) {
        if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_STMT, c.get(), &handle_))) fail_odbc(SQL_HANDLE_DBC, c.get());
        if (!SQL_SUCCEEDED(SQLPrepare(handle_, reinterpret_cast<SQLCHAR*>(sql.data()), SQL_NTS)))
            fail_odbc(SQL_HANDLE_STMT, handle_);
    }
    ~raw_odbc_statement() { SQLFreeHandle(SQL_HANDLE_STMT, handle_); }
    raw_odbc_statement(const raw_odbc_statement&) = delete;
    raw_odbc_statement& operator=(const raw_odbc_statement&) = delete;

    /// What a procedure returns, `{?=call ...}`; it is there when everything else has been read.
    void result(SQLINTEGER& number) {
        bind(SQL_PARAM_OUTPUT, SQL_C_SLONG, SQL_INTEGER, 0, &number, 0, &result_length_);
    }
    void parameter(SQLINTEGER& number) { bind(SQL_PARAM_INPUT, SQL_C_SLONG, SQL_INTEGER, 0, &number, 0, nullptr); }
    void parameter(std::int64_t& number) {
        bind(SQL_PARAM_INPUT, SQL_C_SBIGINT, SQL_BIGINT, 19, &number, sizeof number, nullptr);
    }
    void parameter(raw_text& text, SQLULEN longest) {
        bind(SQL_PARAM_INPUT, SQL_C_WCHAR, SQL_WVARCHAR, longest, text.data(), *text.bytes(), text.bytes());
    }
    void parameter(std::string& bytes, SQLLEN& length, SQLULEN longest) {
        length = static_cast<SQLLEN>(bytes.size());
        bind(SQL_PARAM_INPUT, SQL_C_BINARY, SQL_VARBINARY, longest, bytes.data(), length, &length);
    }

    /// Runs it, and reads all that it brings; the first number of the first row, if there is one and it is not NULL.
    std::optional<std::int64_t> operator()() {
        std::optional<std::int64_t> first;
        std::size_t rows = 0;
        auto rc = SQLExecute(handle_);
        while (is_fine(rc)) {
            SQLSMALLINT columns = 0;
            if (rc != SQL_NO_DATA && SQL_SUCCEEDED(SQLNumResultCols(handle_, &columns)))
                while (columns > 0 && SQL_SUCCEEDED(rc = SQLFetch(handle_))) read_row(columns, ++rows == 1, first);
            if (!is_fine(rc)) break;
            rc = SQLMoreResults(handle_);
            if (rc == SQL_NO_DATA) break;
        }
        if (!is_fine(rc)) fail_odbc(SQL_HANDLE_STMT, handle_);
        SQLFreeStmt(handle_, SQL_CLOSE);
        return first;
    }

private:
    // What a driver says of a call that did what it should.
    static bool is_fine(SQLRETURN rc) { return SQL_SUCCEEDED(rc) || rc == SQL_NO_DATA; }

    void read_row(SQLSMALLINT columns, bool keep, std::optional<std::int64_t>& first) {
        for (SQLSMALLINT c = 1; c <= columns; ++c) {
            std::int64_t number = 0;
            SQLLEN length = 0;
            if (!SQL_SUCCEEDED(
                    SQLGetData(handle_, static_cast<SQLUSMALLINT>(c), SQL_C_SBIGINT, &number, sizeof number, &length)))
                fail_odbc(SQL_HANDLE_STMT, handle_);
            if (keep && c == 1 && length != SQL_NULL_DATA) first = number;
        }
    }
    void bind(SQLSMALLINT kind, SQLSMALLINT c_type, SQLSMALLINT sql_type, SQLULEN size, SQLPOINTER value, SQLLEN room,
              SQLLEN* length) {
        if (!SQL_SUCCEEDED(
                SQLBindParameter(handle_, ++parameters_, kind, c_type, sql_type, size, 0, value, room, length)))
            fail_odbc(SQL_HANDLE_STMT, handle_);
    }

    SQLHANDLE handle_ = nullptr;
    SQLUSMALLINT parameters_ = 0;
    SQLLEN result_length_ = 0;
};

}  // namespace bench
