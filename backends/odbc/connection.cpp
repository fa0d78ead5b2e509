#include "connection.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>

#include <rowlock/error.hpp>

namespace rowlock::odbc {
namespace {

// ODBC passes small numbers in place of pointers.
SQLPOINTER number(std::uintptr_t n) { return reinterpret_cast<SQLPOINTER>(n); }  // NOLINT(performance-no-int-to-ptr)

std::uintptr_t whole_seconds(deadline d) {
    if (d.is_never()) return 0;  // means without limit
    const auto s = std::chrono::ceil<std::chrono::seconds>(d.remaining()).count();
    return static_cast<std::uintptr_t>(std::clamp<std::int64_t>(s, 1, 3600));
}

}  // namespace

environment::environment(std::string_view backend) {
    if (!SQL_SUCCEEDED(handle_.allocate()))
        throw connection_error{"the ODBC driver manager does not work", {.backend = std::string{backend}}};
    if (!SQL_SUCCEEDED(SQLSetEnvAttr(handle_.get(), SQL_ATTR_ODBC_VERSION, number(SQL_OV_ODBC3), 0)))
        diagnostics{handle_}.fail("the ODBC driver manager does not know ODBC 3", backend);
    // unixODBC does not heed this: odbcinst.ini decides there, for the whole process.
    (void)SQLSetEnvAttr(handle_.get(), SQL_ATTR_CONNECTION_POOLING, number(SQL_CP_OFF), 0);
}

connection::connection(const environment& e, const std::string& connection_string, std::string_view server,
                       std::string_view backend, deadline d)
    : server_{server}, backend_{backend} {
    if (!SQL_SUCCEEDED(handle_.allocate(e.handle())))
        diagnostics{e.handle()}.fail("no more connections can be had of the ODBC driver manager", backend);
    (void)SQLSetConnectAttr(handle_.get(), SQL_ATTR_LOGIN_TIMEOUT, number(whole_seconds(d)), SQL_IS_UINTEGER);
    auto text = connection_string;
    const auto rc = SQLDriverConnect(handle_.get(), nullptr, reinterpret_cast<SQLCHAR*>(text.data()),
                                     static_cast<SQLSMALLINT>(text.size()), nullptr, 0, nullptr, SQL_DRIVER_NOPROMPT);
    if (SQL_SUCCEEDED(rc)) return;
    const diagnostics why{handle_};
    throw connection_error{"cannot connect to " + server_ + ": " + why.text(), why.context(backend)};
}

connection::connection(SQLHDBC theirs, std::string_view server, std::string_view backend)
    : handle_{theirs}, server_{server}, backend_{backend} {}

connection::~connection() {
    if (!handle_.is_ours()) return;
    // A transaction that is open would keep it from being closed.
    if (SQLDisconnect(handle_.get()) == SQL_ERROR && diagnostics{handle_}.has("25000")) {
        SQLEndTran(SQL_HANDLE_DBC, handle_.get(), SQL_ROLLBACK);
        SQLDisconnect(handle_.get());
    }
}

void connection::heard_close() {
    closed_ = true;
    abandon("the connection was closed");
}

bool connection::is_dead() const noexcept {
    SQLUINTEGER dead = SQL_CD_FALSE;
    return SQL_SUCCEEDED(SQLGetConnectAttr(handle_.get(), SQL_ATTR_CONNECTION_DEAD, &dead, SQL_IS_UINTEGER, nullptr)) &&
           dead == SQL_CD_TRUE;
}

void connection::settle() {
    constexpr int tries = 3;
    for (int i = 0; i < tries; ++i) {
        statement_handle s;
        if (!SQL_SUCCEEDED(s.allocate(handle_))) return;
        (void)SQLSetStmtAttr(s.get(), SQL_ATTR_QUERY_TIMEOUT, number(5), SQL_IS_UINTEGER);
        auto text = "SELECT " + std::to_string(++settled_);
        SQLINTEGER answer = 0;
        auto rc = SQLExecDirect(s.get(), reinterpret_cast<SQLCHAR*>(text.data()), SQL_NTS);
        if (SQL_SUCCEEDED(rc)) rc = SQLFetch(s.get());
        if (SQL_SUCCEEDED(rc)) rc = SQLGetData(s.get(), 1, SQL_C_SLONG, &answer, sizeof answer, nullptr);
        while (SQL_SUCCEEDED(rc)) rc = SQLMoreResults(s.get());
        if (rc != SQL_NO_DATA) continue;  // the cancellation hit this one
        if (answer != settled_) break;
        return;
    }
    abandon("a call was canceled, after which the driver gave no answer, or that to an earlier call");
}

void connection::allocate(statement_handle& s) const {
    if (!SQL_SUCCEEDED(s.allocate(handle_)))
        diagnostics{handle_}.fail("no more statements can be had of " + server_, backend_);
    // The owner of a connection may have set one for all its statements. Not set needlessly: see canceler.
    SQLULEN timeout = 0;
    const auto wanted = static_cast<std::uintptr_t>(timeout_.count());
    if (SQL_SUCCEEDED(SQLGetStmtAttr(s.get(), SQL_ATTR_QUERY_TIMEOUT, &timeout, SQL_IS_UINTEGER, nullptr)) &&
        timeout != wanted)
        (void)SQLSetStmtAttr(s.get(), SQL_ATTR_QUERY_TIMEOUT, number(wanted), SQL_IS_UINTEGER);
}

bool connection::commits_by_itself() const noexcept {
    SQLUINTEGER mode = SQL_AUTOCOMMIT_ON;
    return !SQL_SUCCEEDED(SQLGetConnectAttr(handle_.get(), SQL_ATTR_AUTOCOMMIT, &mode, SQL_IS_UINTEGER, nullptr)) ||
           mode == SQL_AUTOCOMMIT_ON;
}

std::string connection::driver() const {
    std::string all;
    for (const auto what : {SQLUSMALLINT{SQL_DRIVER_NAME}, SQLUSMALLINT{SQL_DRIVER_VER}}) {
        std::array<SQLCHAR, 256> text{};
        SQLSMALLINT length = 0;
        if (!SQL_SUCCEEDED(
                SQLGetInfo(handle_.get(), what, text.data(), static_cast<SQLSMALLINT>(text.size()), &length)))
            continue;
        all += (all.empty() ? "" : " ") + std::string{reinterpret_cast<const char*>(text.data())};
    }
    return all;
}

std::string connection::last_words() const { return why_.empty() ? "the connection was closed" : why_; }

}  // namespace rowlock::odbc
