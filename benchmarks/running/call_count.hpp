#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>

namespace bench {

/// How many system calls `cycle` makes in the middle of many, as the kernel's tracer sees it, in a child process.
/// `prepare` is called there first, once.
/// @throws std::runtime_error tracing is not allowed here
[[nodiscard]] double system_calls_of(const std::function<std::function<void()>()>& prepare, int cycles);

}  // namespace bench
