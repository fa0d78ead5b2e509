#include "batch.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include <rowlock/error.hpp>

#include <no_answer.hpp>

#include "utf16.hpp"

namespace rowlock::odbc {
namespace {

// Beyond this a text is nvarchar(max), and bytes are varbinary(max), in SQL Server.
constexpr SQLULEN longest_text = 4000;
constexpr SQLULEN longest_bytes = 8000;

bool is_success(SQLRETURN rc) { return SQL_SUCCEEDED(rc) || rc == SQL_NO_DATA; }

int digit(char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

}  // namespace

// --- rows -----------------------------------------------------------------------------------------------------------

std::int64_t rows::integer(std::size_t row, std::size_t column) const {
    const auto& c = cell(row, column);
    std::int64_t n = 0;
    const auto* const end = c ? c->data() + c->size() : nullptr;
    if (!c || std::from_chars(c->data(), end, n).ptr != end)
        throw connection_error{"the server brought something else than a number"};
    return n;
}

std::string rows::text(std::size_t row, std::size_t column) const { return cell(row, column).value_or(std::string{}); }

std::string rows::raw(std::size_t row, std::size_t column) const {
    const auto digits = text(row, column);
    std::string out;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
        out += static_cast<char>(digit(digits[i]) << 4 | digit(digits[i + 1]));
    return out;
}

// --- parameters -----------------------------------------------------------------------------------------------------

batch::batch(connection& c, std::string_view sql, unprepared) : connection_{c}, sql_{sql}, prepared_{false} {
    c.allocate(handle_);
}

batch::batch(connection& c, std::string_view sql) : connection_{c}, sql_{sql}, prepared_{true} {
    c.allocate(handle_);
    if (!SQL_SUCCEEDED(prepare())) diagnostics{handle_}.fail(c.server() + " does not take a statement", c.backend());
}

SQLRETURN batch::prepare() {
    auto text = sql_;
    return SQLPrepare(handle_.get(), reinterpret_cast<SQLCHAR*>(text.data()), static_cast<SQLINTEGER>(text.size()));
}

batch::~batch() {
    if (connection_.is_closed()) handle_.forget();
}

void batch::run_once(connection& c, std::string_view sql, canceler& by, deadline d) {
    (void)batch{c, sql, unprepared{}}.execute(by, d);
}

batch::parameter& batch::at(std::size_t i) {
    while (parameters_.size() <= i) parameters_.emplace_back();
    return parameters_[i];
}

void batch::bind(std::size_t i, SQLSMALLINT c_type, SQLSMALLINT sql_type, SQLULEN size, SQLPOINTER value, SQLLEN room) {
    auto& p = parameters_[i];
    if (p.bound == value && p.bound_size == size) return;
    if (!SQL_SUCCEEDED(SQLBindParameter(handle_.get(), static_cast<SQLUSMALLINT>(i + 1), SQL_PARAM_INPUT, c_type,
                                        sql_type, size, 0, value, room, &p.length)))
        diagnostics{handle_}.fail("a parameter cannot be bound", connection_.backend());
    p.bound = value;
    p.bound_size = size;
}

void batch::set(std::size_t i, std::int64_t value) {
    auto& p = at(i);
    p.number = value;
    p.length = sizeof p.number;
    bind(i, SQL_C_SBIGINT, SQL_BIGINT, 19, &p.number, sizeof p.number);
}

void batch::set(std::size_t i, std::string_view utf8) {
    auto& p = at(i);
    if (p.wide.size() < utf8.size() + 1) p.wide.resize(std::max<std::size_t>(2 * utf8.size() + 1, 256));
    p.length = static_cast<SQLLEN>(to_utf16(utf8, p.wide.data()) * sizeof(SQLWCHAR));
    const bool is_long = p.wide.size() > longest_text;
    bind(i, SQL_C_WCHAR, is_long ? SQL_WLONGVARCHAR : SQL_WVARCHAR, is_long ? p.wide.size() : longest_text,
         p.wide.data(), static_cast<SQLLEN>(p.wide.size() * sizeof(SQLWCHAR)));
}

void batch::set(std::size_t i, bytes value) {
    auto& p = at(i);
    if (p.raw.size() < value.value.size()) p.raw.resize(std::max<std::size_t>(2 * value.value.size(), 256));
    if (p.raw.empty()) p.raw.resize(256);
    std::copy(value.value.begin(), value.value.end(), p.raw.begin());
    p.length = static_cast<SQLLEN>(value.value.size());
    const bool is_long = p.raw.size() > longest_bytes;
    bind(i, SQL_C_BINARY, is_long ? SQL_LONGVARBINARY : SQL_VARBINARY, is_long ? p.raw.size() : longest_bytes,
         p.raw.data(), static_cast<SQLLEN>(p.raw.size()));
}

// --- running --------------------------------------------------------------------------------------------------------

SQLRETURN batch::fetch(rows& into, SQLUSMALLINT columns, canceler::watch& w) {
    SQLRETURN rc;
    while (SQL_SUCCEEDED(rc = w.during([&] { return SQLFetch(handle_.get()); }))) {
        auto& row = into.all_.emplace_back(columns);
        for (SQLUSMALLINT c = 1; c <= columns; ++c) {
            std::vector<SQLWCHAR> all;
            std::array<SQLWCHAR, 512> part;
            SQLLEN length = 0;
            SQLRETURN got;
            // In parts: all but the last one fill the buffer, up to a NUL at its end.
            bool more = true;
            while (more && SQL_SUCCEEDED(got = SQLGetData(handle_.get(), c, SQL_C_WCHAR, part.data(),
                                                          static_cast<SQLLEN>(sizeof part), &length))) {
                if (length == SQL_NULL_DATA) break;
                more = got == SQL_SUCCESS_WITH_INFO &&
                       (length == SQL_NO_TOTAL || length >= static_cast<SQLLEN>(sizeof part));
                const auto n = more ? part.size() - 1 : static_cast<std::size_t>(length) / sizeof(SQLWCHAR);
                all.insert(all.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(n));
            }
            if (!is_success(got)) return got;
            if (length != SQL_NULL_DATA) append_utf8(row[c - 1U].emplace(), all.data(), all.size());
        }
    }
    return rc;
}

// Errors may come behind any of the results.
SQLRETURN batch::collect(rows& into, canceler::watch& w) {
    auto text = prepared_ ? std::string{} : sql_;
    auto rc = w.during([&] {
        return prepared_ ? SQLExecute(handle_.get())
                         : SQLExecDirect(handle_.get(), reinterpret_cast<SQLCHAR*>(text.data()),
                                         static_cast<SQLINTEGER>(text.size()));
    });
    while (is_success(rc)) {
        SQLSMALLINT columns = 0;
        if (rc != SQL_NO_DATA && SQL_SUCCEEDED(SQLNumResultCols(handle_.get(), &columns)) && columns > 0) {
            rc = fetch(into, static_cast<SQLUSMALLINT>(columns), w);
            if (!is_success(rc)) return rc;
        }
        rc = w.during([&] { return SQLMoreResults(handle_.get()); });
        if (rc == SQL_NO_DATA) return rc;
    }
    return rc;
}

rows batch::execute(canceler& c, deadline d) {
    if (!connection_.usable())
        throw detail::no_answer{connection_.last_words(), {.backend = std::string{connection_.backend()}}};
    if (prepared_ && !ready_ && !SQL_SUCCEEDED(prepare()))
        diagnostics{handle_}.fail(connection_.server() + " does not take a statement", connection_.backend());
    ready_ = true;
    rows found;
    SQLRETURN rc = SQL_ERROR;
    bool asked = false;
    {
        canceler::watch watching{c, handle_.get(), d, {}};
        rc = collect(found, watching);
        asked = watching.asked();
    }
    if (is_success(rc)) {
        SQLFreeStmt(handle_.get(), SQL_CLOSE);
        if (asked) connection_.settle();
        return found;
    }
    const diagnostics why{handle_};
    SQLFreeStmt(handle_.get(), SQL_CLOSE);
    const bool broken = why.connection_broken() || connection_.is_dead();
    const bool late = asked || why.ended();
    // Its owner goes on with it, and must not meet what is left of the cancellation.
    if (late && !broken && connection_.is_borrowed()) {
        connection_.settle();
        throw detail::no_answer{connection_.server() + ": there was no answer within the time allowed",
                                why.context(connection_.backend())};
    }
    // FreeTDS has taken the parameters already, and would stumble over them the next time. To prepare it anew it needs
    // the connection.
    if (why.connection_busy()) ready_ = false;
    if (late || broken) {
        connection_.abandon(late ? "there was no answer within the time allowed" : why.text());
        throw detail::no_answer{connection_.server() + ": " + connection_.last_words(),
                                why.context(connection_.backend())};
    }
    why.fail(connection_.server(), connection_.backend());
}

}  // namespace rowlock::odbc
