#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <rowlock/backend.hpp>

#include "applock_session.hpp"

namespace rowlock::sqlserver {

/// Permits that one search asks for at most, as each takes a round trip.
inline constexpr std::size_t most_permits_asked = 1024;

/// How long who waits for a permit lets be before he asks for all of them again: `shortest`, or, where there are many,
/// as long as asking took.
[[nodiscard]] std::chrono::milliseconds pause_between_searches(const lock_request& r,
                                                               std::chrono::milliseconds shortest,
                                                               deadline::clock::time_point began);

/// Takes a permit that is free, for a session that has the semaphore's name in mode IntentExclusive. Empty: all are
/// taken, or `w` was over. Begins with the one of number `first`, and goes round.
/// @param own permits that this session has: the server would grant them once more
/// @param w of who waits, and asks for all of them again and again; never over in a try
/// @throws unsupported as many as can be asked for are taken, and there are others
/// @throws connection_error as applock_session::get, and if `d` was over before all had been asked for
[[nodiscard]] std::optional<std::string> take_free_permit(applock_session& s, const lock_request& r,
                                                          std::uint32_t first, const std::vector<std::string>& own,
                                                          const wait_bound& w, deadline d);

}  // namespace rowlock::sqlserver
