#include <array>
#include <stdexcept>
#include <string>

#include <sql.h>
#include <sqlext.h>

#include "back_ends.hpp"

namespace bench {
namespace {

[[noreturn]] void fail(SQLSMALLINT type, SQLHANDLE h) {
    std::array<SQLCHAR, 6> state{};
    std::array<SQLCHAR, 512> text{};
    SQLINTEGER native = 0;
    SQLSMALLINT length = 0;
    (void)SQLGetDiagRec(type, h, 1, state.data(), &native, text.data(), static_cast<SQLSMALLINT>(text.size()), &length);
    throw std::runtime_error{reinterpret_cast<const char*>(text.data())};
}

// What a driver says of a call that did what it should.
bool is_fine(SQLRETURN rc) { return SQL_SUCCEEDED(rc) || rc == SQL_NO_DATA; }

// A connection of bare ODBC, kept.
class connection {
public:
    explicit connection(std::string text) {
        if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_ENV, SQL_NULL_HANDLE, &environment_)))
            throw std::runtime_error{"the ODBC driver manager does not work"};
        // ODBC passes small numbers in place of pointers.
        (void)SQLSetEnvAttr(environment_, SQL_ATTR_ODBC_VERSION,
                            reinterpret_cast<SQLPOINTER>(SQL_OV_ODBC3),  // NOLINT(performance-no-int-to-ptr)
                            0);
        if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_DBC, environment_, &handle_))) fail(SQL_HANDLE_ENV, environment_);
        if (!SQL_SUCCEEDED(SQLDriverConnect(handle_, nullptr, reinterpret_cast<SQLCHAR*>(text.data()), SQL_NTS, nullptr,
                                            0, nullptr, SQL_DRIVER_NOPROMPT)))
            fail(SQL_HANDLE_DBC, handle_);
    }
    ~connection() {
        SQLDisconnect(handle_);
        SQLFreeHandle(SQL_HANDLE_DBC, handle_);
        SQLFreeHandle(SQL_HANDLE_ENV, environment_);
    }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    [[nodiscard]] SQLHANDLE get() const noexcept { return handle_; }

private:
    SQLHANDLE environment_ = nullptr, handle_ = nullptr;
};

// A call, prepared once, whose parameters are bound once.
class call {
public:
    call(const connection& c, std::string sql) {
        if (!SQL_SUCCEEDED(SQLAllocHandle(SQL_HANDLE_STMT, c.get(), &handle_))) fail(SQL_HANDLE_DBC, c.get());
        if (!SQL_SUCCEEDED(SQLPrepare(handle_, reinterpret_cast<SQLCHAR*>(sql.data()), SQL_NTS)))
            fail(SQL_HANDLE_STMT, handle_);
        bind(SQL_PARAM_OUTPUT, SQL_C_SLONG, SQL_INTEGER, 0, &answer_, &answer_length_);
    }
    ~call() { SQLFreeHandle(SQL_HANDLE_STMT, handle_); }
    call(const call&) = delete;
    call& operator=(const call&) = delete;

    void bind(std::string& text) { bind(SQL_PARAM_INPUT, SQL_C_CHAR, SQL_VARCHAR, 255, text.data(), &ends_with_nul_); }
    void bind(SQLINTEGER& number) { bind(SQL_PARAM_INPUT, SQL_C_SLONG, SQL_INTEGER, 0, &number, nullptr); }

    /// What the procedure returns; it is there when everything else has been read.
    SQLINTEGER operator()() {
        auto rc = SQLExecute(handle_);
        while (SQL_SUCCEEDED(rc)) rc = SQLMoreResults(handle_);
        if (!is_fine(rc)) fail(SQL_HANDLE_STMT, handle_);
        SQLFreeStmt(handle_, SQL_CLOSE);
        return answer_;
    }

private:
    void bind(SQLSMALLINT kind, SQLSMALLINT c_type, SQLSMALLINT sql_type, SQLULEN size, SQLPOINTER value,
              SQLLEN* length) {
        if (!SQL_SUCCEEDED(SQLBindParameter(handle_, ++parameters_, kind, c_type, sql_type, size, 0, value, 0, length)))
            fail(SQL_HANDLE_STMT, handle_);
    }

    SQLHANDLE handle_ = nullptr;
    SQLUSMALLINT parameters_ = 0;
    SQLINTEGER answer_ = 0;
    SQLLEN answer_length_ = 0;
    SQLLEN ends_with_nul_ = SQL_NTS;
};

// A lock as a program without Rowlock would write it.
class applock final : public client {
public:
    applock(const std::string& connection_string, const client_spec& s, std::string mode)
        : resource_{s.lock},
          mode_{std::move(mode)},
          wait_{s.contended ? -1 : 0},
          busy_{s.what == work::busy},
          connection_{connection_string} {
        get_.bind(resource_);
        get_.bind(mode_);
        get_.bind(owner_);
        get_.bind(wait_);
        release_.bind(resource_);
        release_.bind(owner_);
    }
    void take() override {
        if ((get_() < 0) != busy_) throw std::logic_error{"sp_getapplock did not answer as it should"};
    }
    void give_back() override {
        if (!busy_ && release_() < 0) throw std::logic_error{"sp_releaseapplock did not answer as it should"};
    }

private:
    std::string resource_, mode_, owner_ = "Session";
    SQLINTEGER wait_;
    const bool busy_;
    const connection connection_;
    call get_{connection_, "{?=call sp_getapplock(?,?,?,?)}"};
    call release_{connection_, "{?=call sp_releaseapplock(?,?)}"};
};

}  // namespace

std::unique_ptr<client> applock_baseline(const std::string& rest, const client_spec& s) {
    switch (s.what) {
        case work::mutex:
        case work::timed:
        case work::busy:
            return std::make_unique<applock>(rest, s, "Exclusive");
        case work::shared:
            return std::make_unique<applock>(rest, s, "Shared");
        case work::upgrade:
            return std::make_unique<applock>(rest, s, "Update");
        default:
            return nullptr;
    }
}

}  // namespace bench
