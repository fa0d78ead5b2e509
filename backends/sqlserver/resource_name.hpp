#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rowlock::sqlserver {

/// The applocks of one name. Which lock of which resource stands for what:
///
/// | held                 | name            | permit i  |
/// |----------------------|-----------------|-----------|
/// | exclusive            | Exclusive       |           |
/// | shared               | Shared          |           |
/// | upgrade              | Update          |           |
/// | a semaphore's permit | IntentExclusive | Exclusive |
///
/// So the server itself keeps permits apart from the other modes. Who waits for a permit at the head of the queue holds
/// `queue` exclusively.

/// The resource that is the name: the name itself, so that other programs can lock it. `sp_getapplock` compares it byte
/// by byte; whether it counts blanks at the end, its manual does not say, so a name with such is hashed.
[[nodiscard]] std::string resource_of(std::string_view name);

[[nodiscard]] std::string queue_of(std::string_view name);
[[nodiscard]] std::string permit_of(std::string_view name, std::uint32_t number);

}  // namespace rowlock::sqlserver
