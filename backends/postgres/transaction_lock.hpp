#pragma once

#include <string_view>

#include <rowlock/backend.hpp>

#include <libpq-fe.h>

namespace rowlock::postgres {

/// Takes the advisory lock of `name`, on the keys that `advisory_backend` uses, for the transaction that is open on
/// `c`. False: somebody else has it and `w` is over.
///
/// Whatever comes out, the transaction goes on: everything happens behind a savepoint of its own, to which it is rolled
/// back if the lock was not granted.
/// @param c in a transaction that has not failed
/// @param mode exclusive or shared
/// @throws cancelled, deadlock_detected, connection_error
[[nodiscard]] bool lock_in_transaction(PGconn* c, std::string_view name, lock_mode mode, const wait_bound& w);

}  // namespace rowlock::postgres
