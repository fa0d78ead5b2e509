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

/// The applocks beside the row of a leased name. `queue` is held, exclusively, by the one waiter who is at the head of
/// the queue; `bell` by who holds the lease, in mode Exclusive or Shared: giving it back wakes the head. Both are held
/// by sessions.
///
/// `pin` is held by transactions, and keeps a name from being taken over. Whoever takes the lease asks for it without
/// waiting, whoever fences a transaction holds it to its end; which modes go along with each other decides who may do
/// what meanwhile:
///
/// |                                             | mode            | beside a fenced exclusive lease | beside another
/// fenced one |
/// |---------------------------------------------|-----------------|-----|-----|
/// | takes it exclusively, frees what has run out | Exclusive       | no  | no  |
/// | takes a share, an upgrade lock, a permit     | Update          | no  | yes |
/// | fences an exclusive lease                    | IntentExclusive | yes | no  |
/// | fences another one                           | Shared          | no  | yes |
///
/// Leases of two schemas have nothing to do with each other, so they differ in these; in upper and lower case they do
/// not, as that makes a difference in some databases only.
struct lease_keys {
    std::string queue, bell, pin;
};
[[nodiscard]] lease_keys lease_keys_of(std::string_view schema, std::string_view name);

}  // namespace rowlock::sqlserver
