#pragma once

#include <cstdint>
#include <string_view>

namespace rowlock::postgres {

/// The advisory keys of one name. Which lock of which key stands for what:
///
/// | held                | name      | sharers | users  | place + i |
/// |---------------------|-----------|---------|--------|-----------|
/// | exclusive           | exclusive |         |        |           |
/// | shared              | shared    | shared  |        |           |
/// | a semaphore's permit| shared    |         | shared | exclusive |
///
/// So an exclusive lock, the frequent one, is a single key that any other program can lock, too. Who shares looks
/// whether there are users, and the other way round, after having said on a key of its own that it is there. `queue` is
/// held by the one who waits for a permit at the head of the queue.
struct lock_keys {
    std::int64_t name = 0, sharers = 0, users = 0, queue = 0, place = 0;
};

/// The first 64 bits of SHA-256 of the full name, as PostgreSQL's bigint: what scheme `native` locks.
/// In SQL: `('x' || encode(substring(sha256(convert_to(name, 'UTF8')) FOR 8), 'hex'))::bit(64)::bigint`.
[[nodiscard]] std::int64_t key_of(std::string_view name);

/// The same of the name, a NUL byte (which no name has in it) and the word.
[[nodiscard]] std::int64_t derived_key(std::string_view name, std::string_view word);

/// `key_of(name)`, and for the others the key that is derived with the word above.
[[nodiscard]] lock_keys keys_of(std::string_view name);

}  // namespace rowlock::postgres
