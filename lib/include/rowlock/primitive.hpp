#pragma once

#include <cstdint>
#include <string_view>

namespace rowlock {

/// What a program can build on a back end; see `provider::supports()`.
enum class primitive : std::uint8_t { mutex, shared_mutex, upgrade_mutex, semaphore };

/// How a name is held. Which modes go together is said once, in `admission.hpp`:
///
/// | held \ asked | exclusive | shared | upgrade | permit |
/// |--------------|-----------|--------|---------|--------|
/// | exclusive    | no        | no     | no      | no     |
/// | shared       | no        | yes    | yes     | no     |
/// | upgrade      | no        | yes    | no      | no     |
/// | permit       | no        | no     | no      | while fewer than the asker's limit are held |
enum class lock_mode : std::uint8_t { exclusive, shared, upgrade, permit };

/// "mutex", "shared_mutex", "upgrade_mutex", "semaphore".
[[nodiscard]] std::string_view to_string(primitive p) noexcept;

/// "exclusive", "shared", "upgrade", "permit".
[[nodiscard]] std::string_view to_string(lock_mode m) noexcept;

}  // namespace rowlock
