#include "statement.hpp"

#include <cstdint>
#include <utility>

#include <no_answer.hpp>

namespace rowlock::odbc {
namespace {

constexpr int lock_timeout = 1222;  // SQL Server

// A statement that changed nothing, or brought no rows, is a success that some drivers call SQL_NO_DATA.
bool is_success(SQLRETURN rc) { return SQL_SUCCEEDED(rc) || rc == SQL_NO_DATA; }

}  // namespace

statement::statement(connection& c, std::string_view sql) : connection_{c}, sql_{sql} {
    c.allocate(handle_);
    if (!SQL_SUCCEEDED(prepare())) diagnostics{handle_}.fail(c.server() + " does not take a statement", c.backend());
}

SQLRETURN statement::prepare() {
    auto text = sql_;
    return SQLPrepare(handle_.get(), reinterpret_cast<SQLCHAR*>(text.data()), static_cast<SQLINTEGER>(text.size()));
}

statement::~statement() {
    if (connection_.is_closed()) handle_.forget();
}

void statement::bind(SQLSMALLINT kind, SQLSMALLINT c_type, SQLSMALLINT sql_type, SQLULEN size, SQLPOINTER value,
                     SQLLEN* length) {
    if (!SQL_SUCCEEDED(
            SQLBindParameter(handle_.get(), ++parameters_, kind, c_type, sql_type, size, 0, value, 0, length)))
        diagnostics{handle_}.fail("a parameter cannot be bound", connection_.backend());
}

statement& statement::result(SQLINTEGER& value) {
    bind(SQL_PARAM_OUTPUT, SQL_C_SLONG, SQL_INTEGER, 0, &value, &number_length_);
    return *this;
}

statement& statement::parameter(SQLINTEGER& value) {
    bind(SQL_PARAM_INPUT, SQL_C_SLONG, SQL_INTEGER, 0, &value, nullptr);
    return *this;
}

statement& statement::parameter(wide_text& value) {
    bind(SQL_PARAM_INPUT, SQL_C_WCHAR, SQL_WVARCHAR, wide_text::capacity, value.data(), value.bytes());
    return *this;
}

statement& statement::each_row(std::function<void()> f) {
    on_row_ = std::move(f);
    return *this;
}

statement& statement::driver_timeout(std::chrono::milliseconds t) {
    const auto seconds = static_cast<std::uintptr_t>(driver_seconds(t).count());
    // One that cannot do it says so, and does without.
    (void)SQLSetStmtAttr(handle_.get(), SQL_ATTR_QUERY_TIMEOUT,
                         reinterpret_cast<SQLPOINTER>(seconds),  // NOLINT(performance-no-int-to-ptr): as ODBC has it
                         SQL_IS_UINTEGER);
    return *this;
}

void statement::bind_column(char* value, std::size_t size) {
    auto& c = columns_.emplace_back(bound_column{value});
    if (!SQL_SUCCEEDED(SQLBindCol(handle_.get(), static_cast<SQLUSMALLINT>(columns_.size()), SQL_C_CHAR, value,
                                  static_cast<SQLLEN>(size), &c.length)))
        diagnostics{handle_}.fail("a column cannot be bound", connection_.backend());
}

SQLRETURN statement::fetch(canceler::watch& w) {
    const auto rc = w.during([&] { return SQLFetch(handle_.get()); });
    if (!SQL_SUCCEEDED(rc)) return rc;
    for (const auto& c : columns_)
        if (c.length == SQL_NULL_DATA) *c.value = '\0';
    return rc;
}

// With what it brings: rows, counts, messages. Some warn of what was expected, such as a wait that timed out.
SQLRETURN statement::execute(canceler::watch& w) {
    for (const auto& c : columns_) *c.value = '\0';
    auto rc = w.during([&] { return SQLExecute(handle_.get()); });
    if (!is_success(rc)) return rc;
    if (!columns_.empty()) {
        do {
            rc = fetch(w);
            if (!is_success(rc)) return rc;
            if (rc != SQL_NO_DATA && on_row_) on_row_();
        } while (rc != SQL_NO_DATA && on_row_);
    }
    do rc = w.during([&] { return SQLMoreResults(handle_.get()); });
    while (SQL_SUCCEEDED(rc));
    return rc;
}

statement::outcome statement::run(canceler& c, deadline d, const std::stop_token& stop) {
    if (!connection_.usable())
        throw detail::no_answer{connection_.last_words(), {.backend = std::string{connection_.backend()}}};
    SQLRETURN rc = SQL_ERROR;
    bool asked = false;
    {
        canceler::watch watching{c, handle_.get(), d, stop};
        rc = execute(watching);
        asked = watching.asked();
    }
    if (is_success(rc)) {
        SQLFreeStmt(handle_.get(), SQL_CLOSE);
        if (asked) connection_.settle();
        return outcome::done;
    }
    const diagnostics why{handle_};
    SQLFreeStmt(handle_.get(), SQL_CLOSE);
    // Not every driver says so in its diagnostics: psqlODBC has a class of its own for it, FreeTDS none at times.
    if (why.connection_broken() || connection_.is_dead()) {
        connection_.abandon(why.text());
        throw detail::no_answer{connection_.server() + ": " + why.text(), why.context(connection_.backend())};
    }
    if (why.connection_busy()) {
        // FreeTDS has taken the parameters already, and would stumble over them the next time.
        (void)prepare();
        why.fail(connection_.server(), connection_.backend());
    }
    if (asked) connection_.settle();
    if (asked || why.ended() || why.has_native(lock_timeout)) return outcome::ended;
    why.fail(connection_.server(), connection_.backend());
}

}  // namespace rowlock::odbc
