#include "fence.hpp"

#include <exception>
#include <stdexcept>
#include <string>

#include <rowlock/error.hpp>

#include "advisory_backend.hpp"
#include "lease_backend.hpp"
#include "session.hpp"

namespace rowlock::postgres {
namespace {

// FOR KEY SHARE goes along with a renewal, which changes no key, but not with a take, which first selects the row FOR
// UPDATE. The clock is read after the row is locked. $1 name, $2 provider, $3 number, $4 token.
//
// In a transaction that keeps its first snapshot (REPEATABLE READ, SERIALIZABLE) the row may be an old version. Has
// anybody taken the lock since, locking it fails with 40001, as the take changed the row under a lock on its key. Has
// it only been renewed, or broken or released and not taken, the old version is locked and all later ones with it: so
// nobody can take it from now on, and what is left to ask is whether it had ended before.
//
// The row's counter may be ahead of the lease: advisory locks of the same name raise it, too. Behind it is where a
// failover has lost what was granted.
constexpr statement pin_lock{"rowlock_pin_lock", R"sql(
WITH pinned AS MATERIALIZED (
  SELECT token, expires_at FROM rowlock.lock
  WHERE name = $1::text AND provider = $2::bigint AND number = $3::bigint
  FOR KEY SHARE
)
SELECT token >= $4::bigint, expires_at > pg_catalog.clock_timestamp() FROM pinned)sql"};
constexpr statement pin_part{"rowlock_pin_part", R"sql(
WITH pinned AS MATERIALIZED (
  SELECT token, expires_at FROM rowlock.part
  WHERE name = $1::text AND provider = $2::bigint AND number = $3::bigint
  FOR KEY SHARE
)
SELECT token = $4::bigint, expires_at > pg_catalog.clock_timestamp() FROM pinned)sql"};

error_context about(const lock_request& r, std::string_view state = {}) {
    return {.lock_name = r.name, .backend = std::string{lease_backend::name}, .sqlstate = std::string{state}};
}

void refuse_what_is_no_lease(const lock_handle& held, const lock_request& r) {
    if (held.backend() == lease_backend::name) return;
    if (held.backend() == advisory_backend::name)
        throw unsupported{
            "an advisory lock has no row that a transaction could pin; use postgresql+lease:, or take the lock "
            "in the transaction itself (rowlock::postgres::lock)",
            {.lock_name = r.name, .backend = std::string{held.backend()}}};
    throw std::invalid_argument{"the lock \"" + r.name + "\" is not held in PostgreSQL, but through \"" +
                                std::string{held.backend()} + "\""};
}

result pinned(PGconn* c, const lock_request& r, fencing_token token, const options& opt) {
    const visit here{c};
    session s{c, lease_backend::name, opt.schema};
    s.prepares = false;  // there may be a pooler in between
    try {
        return s.run(r.mode == lock_mode::exclusive ? pin_lock : pin_part, deadline::after(opt.operation_timeout),
                     r.name, static_cast<std::int64_t>(r.id.provider), static_cast<std::int64_t>(r.id.number),
                     static_cast<std::int64_t>(token.value()));
    } catch (const error& e) {
        if (e.sqlstate() != sqlstate::serialization_failure) throw;
        std::throw_with_nested(lock_lost{"the lock \"" + r.name +
                                             "\" was lost: somebody else has taken it since this transaction began, "
                                             "which has failed and has to be rolled back",
                                         about(r, sqlstate::serialization_failure)});
    }
}

}  // namespace

void pin(PGconn* c, const lock_handle& held) {
    const auto r = held.request();  // throws if the handle is empty
    refuse_what_is_no_lease(held, r);
    const auto row = pinned(c, r, held.token().value_or(fencing_token{0}), held.settings());
    if (row.rows() == 1 && row.truth(0, 0) && row.truth(0, 1)) return;
    try {
        held.verify();  // looks at what is now
    } catch (const std::logic_error&) {
        throw lock_lost{"the lock \"" + r.name + "\" has been released", about(r)};
    }
    if (row.rows() == 0)
        throw connection_error{"the lock \"" + r.name +
                                   "\" was acquired after this transaction took its snapshot, so it cannot be pinned "
                                   "here: roll back, and begin anew while you hold it",
                               about(r, sqlstate::serialization_failure)};
    if (!row.truth(0, 0))
        throw lock_lost{"the lock \"" + r.name + "\" has another token than the one that was granted", about(r)};
}

}  // namespace rowlock::postgres
