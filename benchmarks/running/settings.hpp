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
    std::size_t blocks = 0;  ///< 0: as many as the suite thinks right
    bool targets = false;    ///< measure all that the targets need, and only that
    progress* shown = nullptr;
    placer* cpus = nullptr;

    [[nodiscard]] std::size_t blocks_or(std::size_t quick_blocks, std::size_t full_blocks) const {
        return blocks > 0 ? blocks : quick ? quick_blocks : full_blocks;
    }
};

}  // namespace bench
