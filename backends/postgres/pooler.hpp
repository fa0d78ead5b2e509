#pragma once

#include "session.hpp"

namespace rowlock::postgres {

/// Whether what `s` is connected to gives every transaction another server connection, as PgBouncer does with
/// pool_mode = transaction. Costs nothing on a direct connection; else a second connection to `to` is
/// opened for a moment.
/// @throws unsupported it pools single statements
[[nodiscard]] bool is_transaction_pooled(session& s, const conninfo& to, std::string_view backend, deadline d);

/// Locks of a session would be held by whoever gets its server connection next.
/// @throws unsupported with what to use instead
void refuse_transaction_pooler(session& s, const conninfo& to, std::string_view backend, deadline d);

}  // namespace rowlock::postgres
