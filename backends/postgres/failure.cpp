#include "failure.hpp"

namespace rowlock::postgres {
namespace {

std::string field(const PGresult* r, int code) {
    const char* value = r ? PQresultErrorField(r, code) : nullptr;
    return value ? value : "";
}

// As migrations/postgres and docs/operating.md have it.
constexpr auto grants =
    "GRANT USAGE ON SCHEMA rowlock TO role; GRANT SELECT ON ALL TABLES IN SCHEMA rowlock TO role; GRANT INSERT, UPDATE "
    "ON rowlock.lock, rowlock.part TO role; GRANT UPDATE (one) ON rowlock.floor TO role; GRANT EXECUTE ON FUNCTION "
    "rowlock.wait_in_line TO role; to break and purge also GRANT "
    "INSERT ON rowlock.break TO role; GRANT "
    "UPDATE ON rowlock.floor TO role; GRANT DELETE ON rowlock.lock, rowlock.part TO role";

std::string advice(std::string_view state, const std::string& message, const std::string& schema) {
    if (state == sqlstate::insufficient_privilege)
        return "this role may not do that: " + message +
               "; what leases need, the owner of the tables gives: " + in_schema(grants, schema);
    if (state == sqlstate::read_only)
        return "this PostgreSQL server is read-only (a standby, or default_transaction_read_only): " + message +
               "; connect to the primary, with target_session_attrs=read-write in the connection string";
    if (state == "53200")
        return "the PostgreSQL server has no room for more locks: " + message + "; raise max_locks_per_transaction";
    if (state == "53300") return "the PostgreSQL server has no connection left: " + message;
    if (state == "42704" && message.find("plpgsql") != std::string::npos)
        return "waiting needs the language plpgsql, which PostgreSQL installs by default: CREATE EXTENSION plpgsql";
    return "PostgreSQL: " + message;
}

}  // namespace

std::string one_line(std::string_view message) {
    std::string out;
    for (const char c : message) {
        if (c != '\n' && c != '\t')
            out += c;
        else if (!out.empty() && out.back() != ' ')
            out += ' ';
    }
    while (out.ends_with(' ')) out.pop_back();
    return out;
}

void fail(std::string_view state, const std::string& message, std::string_view backend, std::string_view schema) {
    const error_context context{.backend = std::string{backend}, .sqlstate = std::string{state}};
    if (state == sqlstate::deadlock_detected)
        throw deadlock_detected{"PostgreSQL ended this wait, because it closed a circle of waits: " + message, context};
    // A missing table, schema, column or function.
    if (state == "42P01" || state == "3F000" || state == "42703" || state == "42883")
        throw schema_error{"the tables of rowlock are missing in schema \"" + std::string{schema} +
                               "\" of this PostgreSQL database, or older than this library; run `rowlock migrate` on "
                               "it first: " +
                               message,
                           context};
    throw connection_error{advice(state, message, std::string{schema}), context};
}

void fail(const PGresult* failed, std::string_view backend, std::string_view schema) {
    auto message = field(failed, PG_DIAG_MESSAGE_PRIMARY);
    if (message.empty()) message = one_line(PQresultErrorMessage(failed));
    if (const auto detail = field(failed, PG_DIAG_MESSAGE_DETAIL); !detail.empty())
        message += " (" + one_line(detail) + ")";
    fail(field(failed, PG_DIAG_SQLSTATE), message, backend, schema);
}

}  // namespace rowlock::postgres
