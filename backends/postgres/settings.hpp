#pragma once

#include "session.hpp"

namespace rowlock::postgres {

/// Makes a new session fit for locks: timeouts that could end it or its waits by surprise are switched off, and the
/// server is told how to notice that this side is gone. Costs two round trips.
///
/// A standby is refused: it grants advisory locks, but they exclude nobody on the primary.
///
/// Nothing is set behind a pooler that gives every transaction another server connection: it would hit other programs.
/// @throws connection_error it is a standby; rowlock::error
void settle_in(session& s, bool transaction_pooled, deadline d);

}  // namespace rowlock::postgres
