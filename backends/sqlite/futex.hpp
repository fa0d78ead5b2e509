#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include <rowlock/deadline.hpp>

namespace rowlock::sqlite {

/// A 32-bit word in memory that several processes map; futex(2). Waiting on it is by inode and offset, so it works
/// across PID namespaces and containers that share the file.
using futex_word = std::atomic<std::uint32_t>;
static_assert(sizeof(futex_word) == 4 && futex_word::is_always_lock_free);

struct futex_wait {
    const futex_word* word;
    std::uint32_t expected;
};

/// The most words that one call can wait for; FUTEX_WAITV_MAX.
inline constexpr std::size_t max_futex_waits = 128;

/// Returns when one of the words has not, or has no longer, its expected value, when somebody wakes one of them, or at
/// `until`. May return without cause. `waits` has 1 to `max_futex_waits` elements.
///
/// Where the kernel is older than 5.16 or forbids futex_waitv(2), it waits for the first word only and returns every
/// 20 ms, so that the caller looks at the others: a memory access, no query.
void futex_wait_any(std::span<const futex_wait> waits, deadline until);

/// Wakes all who wait for the word, in all processes. One system call.
void futex_wake_all(const futex_word& word) noexcept;

}  // namespace rowlock::sqlite
