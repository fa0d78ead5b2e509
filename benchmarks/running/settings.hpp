#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "placement.hpp"
#include "progress.hpp"

namespace bench {

/// What a run was asked for.
struct settings {
    std::vector<std::string> urls{};
    bool quick = false;
    std::size_t clients = 8;
    std::size_t locks = 1;
    std::chrono::nanoseconds hold = std::chrono::microseconds{50};
    std::chrono::nanoseconds think{0};
    std::size_t passes = 0;  ///< how often each row is measured; 0: until its ratio is sure, as long as there is time
    bool targets = false;    ///< measure all that the targets need, and only that
    progress* shown = nullptr;
    placer* cpus = nullptr;

    [[nodiscard]] std::size_t passes_or(std::size_t quick_passes, std::size_t full_passes) const {
        return passes > 0 ? passes : quick ? quick_passes : full_passes;
    }
};

}  // namespace bench
