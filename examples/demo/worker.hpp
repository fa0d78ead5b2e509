#pragma once

#include <cstdint>
#include <filesystem>

namespace demo {

/// What one process does: it takes the lock `turns` times. Reports go to its standard output; at its start, inside its
/// first turn and inside turn `gated_turn` it waits for a byte on its standard input.
struct assignment {
    std::filesystem::path directory{};
    int worker = 0;
    int turns = 0;
    int gated_turn = 0;
    std::uint32_t seed = 0;
    bool with_lock = true;
};

/// The exit status of the process.
int work(const assignment& a);

/// In `assignment::directory`.
inline constexpr auto database_file = "locks.db";
inline constexpr auto counter_file = "counter";
inline constexpr auto lock_name = "demo";

}  // namespace demo
