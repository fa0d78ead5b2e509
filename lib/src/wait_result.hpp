#pragma once

#include <cstdint>

namespace rowlock::detail {

/// How a wait in the server came out.
enum class wait_result : std::uint8_t {
    ended,    ///< nothing was granted
    granted,  ///< when somebody else gave way
    at_once,  ///< nobody had to be waited for
};

}  // namespace rowlock::detail
