#pragma once

#include <rowlock/options.hpp>
#include <rowlock/provider.hpp>

/// Locks of this process only: for tests, and for programs of which only one instance runs.
namespace rowlock::memory {

/// A new, empty set of locks; fair, with all four primitives and with tokens. They survive nothing. Providers do not
/// see each other's names; copies of one provider do.
/// @throws std::invalid_argument an option makes no sense
[[nodiscard]] provider make(options opt = {});

}  // namespace rowlock::memory
