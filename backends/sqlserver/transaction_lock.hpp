#pragma once

#include <string>

#include <rowlock/backend.hpp>

#include <odbc/handle.hpp>

namespace rowlock::sqlserver {

/// Takes the applock of `name`, on the resource that `applock_backend` uses, for the transaction that is open on
/// `theirs`. False: somebody else has it and `w` is over.
/// @param mode exclusive or shared
/// @throws std::invalid_argument no handle; std::logic_error no transaction is open, or the connection is busy
/// @throws cancelled, deadlock_detected, connection_error
[[nodiscard]] bool lock_in_transaction(SQLHDBC theirs, const std::string& name, lock_mode mode, const wait_bound& w);

}  // namespace rowlock::sqlserver
