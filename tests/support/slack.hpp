#pragma once

#include <chrono>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ROWLOCK_TEST_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROWLOCK_TEST_SANITIZED
#endif

namespace rowlock::test {

#ifdef ROWLOCK_TEST_SANITIZED
inline constexpr int slowness = 5;
#else
inline constexpr int slowness = 1;
#endif

/// How late something may be before a test calls it late: the scheduler of a busy machine has a part in it.
inline constexpr std::chrono::milliseconds slack{400 * slowness};

/// How long to wait for what must come. Only a failing test waits so long.
inline constexpr std::chrono::seconds patience{20 * slowness};

}  // namespace rowlock::test
