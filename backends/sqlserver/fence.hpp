#pragma once

#include <rowlock/lock_handle.hpp>

#include <odbc/connection.hpp>

namespace rowlock::sqlserver {

/// Proves, in the transaction that is open on `c`, that the lease `held` is held, and pins its name until the
/// transaction ends. See `fence` in <rowlock/sqlserver.hpp>.
void pin(odbc::connection& c, const lock_handle& held);

}  // namespace rowlock::sqlserver
