#include "pooler.hpp"

#include <rowlock/error.hpp>

namespace rowlock::postgres {
namespace {

// By hand, as statements of the simple protocol: prepared ones fail behind the poolers that this is about.
int pid_now(session& s, deadline d) {
    return std::stoi(s.run_script("SELECT pg_catalog.pg_backend_pid()", d).text(0, 0));
}

}  // namespace

bool is_transaction_pooled(session& s, const conninfo& to, std::string_view backend, deadline d) {
    // A pooler answers the handshake itself, with a number of its own for the server process.
    const int first = pid_now(s, d);
    if (first == s.announced_pid()) return false;
    // A pooler that hands out connections by session keeps the one of `s` for it. Another one gives it to the next
    // who begins a transaction, and `s`, which comes while that is open, gets another.
    session other{to, backend, d};
    try {
        (void)other.run_script("BEGIN", d);
    } catch (const no_answer& e) {
        if (std::string_view{e.what()}.find("statement pooling") == std::string_view::npos) throw;
        throw unsupported{
            "there is a pooler between this program and PostgreSQL that allows no transactions (PgBouncer with "
            "pool_mode = statement); use pool_mode = transaction for leases, pool_mode = session for all locks",
            {.backend = std::string{backend}}};
    }
    // On a busy pooler `s` can get the same one by chance; hardly so often.
    bool same = true;
    for (int round = 0; same && round < 8; ++round) {
        if (round > 0) {
            (void)other.run_script("ROLLBACK", d);  // what it had is free, and the next to be given out
            same = pid_now(s, d) == first;
            (void)other.run_script("BEGIN", d);
        }
        same = same && pid_now(other, d) != first && pid_now(s, d) == first;
    }
    (void)other.run_script("ROLLBACK", d);
    return !same;
}

void refuse_transaction_pooler(session& s, const conninfo& to, std::string_view backend, deadline d) {
    if (!is_transaction_pooled(s, to, backend, d)) return;
    throw unsupported{
        "there is a pooler (such as PgBouncer with pool_mode = transaction) between this program and "
        "PostgreSQL, which gives every transaction another session: a lock of the session would be "
        "held by strangers. Use postgresql+lease: there, or locks of a transaction "
        "(rowlock::postgres::lock), or connect to PostgreSQL itself or with pool_mode = session",
        {.backend = std::string{backend}}};
}

}  // namespace rowlock::postgres
