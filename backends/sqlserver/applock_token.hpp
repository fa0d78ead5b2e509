#pragma once

#include <optional>
#include <string>

#include <rowlock/fencing_token.hpp>

#include "lease_session.hpp"

namespace rowlock::sqlserver {

/// Raises the counter in the name's row, which leases of the same name share, and commits it: the token of an applock
/// that this session has just got. One round trip.
/// @throws as lease_session::run
[[nodiscard]] fencing_token raise_token(lease_session& s, const std::string& name, deadline d);

/// The same, if grants have tokens. Where it cannot be written the lock is not held, either: `give_back` releases it.
template <class GiveBack>
std::optional<fencing_token> token_if(bool fencing, lease_session& s, const std::string& name, deadline d,
                                      GiveBack give_back) {
    if (!fencing) return std::nullopt;
    try {
        return raise_token(s, name, d);
    } catch (...) {
        if (s.usable()) undo(s, give_back);
        throw;
    }
}

/// Has the server prepare what raises a counter, so that it takes no time between the grant and its being told.
void get_ready_for_tokens(lease_session& s, deadline d);

/// Where grants have no tokens.
/// @throws unsupported
[[noreturn]] void refuse_to_purge();

}  // namespace rowlock::sqlserver
