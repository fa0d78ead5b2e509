#pragma once

#include <rowlock/lock_handle.hpp>

#include <libpq-fe.h>

namespace rowlock::postgres {

/// Proves, in the transaction that is open on `c`, that the lease `held` is held, and pins its row until the
/// transaction ends. See `fence` in <rowlock/postgres.hpp>.
void pin(PGconn* c, const lock_handle& held);

}  // namespace rowlock::postgres
