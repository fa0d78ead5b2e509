#include "diagnostics.hpp"

#include <algorithm>
#include <array>

#include <no_answer.hpp>

namespace rowlock::odbc {
namespace {

constexpr int deadlock_victim = 1205;  // SQL Server

std::string one_line(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c != '\n' && c != '\r' && c != '\t')
            out += c;
        else if (!out.empty() && out.back() != ' ')
            out += ' ';
    }
    while (out.ends_with(' ')) out.pop_back();
    return out;
}

}  // namespace

connection_busy::~connection_busy() = default;

diagnostics::diagnostics(SQLSMALLINT type, SQLHANDLE h) {
    // A driver may say more than one wants to read.
    for (SQLSMALLINT i = 1; i <= 8; ++i) {
        std::array<SQLCHAR, 6> state{};
        std::array<SQLCHAR, SQL_MAX_MESSAGE_LENGTH> text{};
        SQLINTEGER native = 0;
        SQLSMALLINT length = 0;
        if (!SQL_SUCCEEDED(SQLGetDiagRec(type, h, i, state.data(), &native, text.data(),
                                         static_cast<SQLSMALLINT>(text.size()), &length)))
            return;
        // The length is that of the whole message, even where it did not fit.
        all_.push_back({reinterpret_cast<const char*>(state.data()), native,
                        one_line(reinterpret_cast<const char*>(text.data()))});
    }
}

bool diagnostics::has(std::string_view sqlstate) const noexcept {
    return std::any_of(all_.begin(), all_.end(), [&](const auto& d) { return d.sqlstate == sqlstate; });
}

bool diagnostics::has_native(int code) const noexcept {
    return std::any_of(all_.begin(), all_.end(), [&](const auto& d) { return d.native == code; });
}

bool diagnostics::connection_broken() const noexcept {
    return std::any_of(all_.begin(), all_.end(), [](const auto& d) { return d.sqlstate.starts_with("08"); });
}

// 57014 is PostgreSQL's own, which psqlODBC hands on.
bool diagnostics::ended() const noexcept { return has("HY008") || has("HYT00") || has("57014"); }

// FreeTDS has the SQLSTATE for it. Microsoft's driver says HY000 with native code 0, and only the text tells:
// "Connection is busy with results for another command"; it has been "hstmt".
// https://learn.microsoft.com/sql/relational-databases/native-client-odbc-cursors/implementation/using-sql-server-default-result-sets
bool diagnostics::connection_busy() const noexcept {
    return std::any_of(all_.begin(), all_.end(), [](const auto& d) {
        return d.sqlstate == "24000" ||
               (d.sqlstate == "HY000" && d.message.find("onnection is busy") != std::string::npos);
    });
}

std::string diagnostics::text() const {
    std::string all;
    for (const auto& d : all_) all += (all.empty() ? "" : "; ") + d.message;
    return all.empty() ? "the driver does not say why" : all;
}

error_context diagnostics::context(std::string_view backend) const {
    if (all_.empty()) return {.backend = std::string{backend}};
    return {.backend = std::string{backend}, .sqlstate = all_.front().sqlstate, .native_code = all_.front().native};
}

void diagnostics::fail(const std::string& what, std::string_view backend) const {
    if (connection_busy())
        throw odbc::connection_busy{
            "a result of another statement on this connection has not been read to its end: close its cursor first (" +
                text() + ")",
            context(backend)};
    const auto message = what + ": " + text();
    if (has("40001") || has_native(deadlock_victim)) throw deadlock_detected{message, context(backend)};
    if (connection_broken()) throw detail::no_answer{message, context(backend)};
    throw connection_error{message, context(backend)};
}

}  // namespace rowlock::odbc
