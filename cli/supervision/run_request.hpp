#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <rowlock/deadline.hpp>
#include <rowlock/options.hpp>
#include <rowlock/primitive.hpp>

#include "../database.hpp"

namespace rowlock::cli {

/// What `rowlock run` was asked to do.
struct run_request {
    database db{};
    options opt{};
    std::string name{};
    lock_mode mode = lock_mode::exclusive;  ///< exclusive, shared or permit
    std::uint32_t permits = 1;
    bool wait = true;
    deadline wait_until = deadline::never();
    std::chrono::milliseconds grace{};
    std::chrono::milliseconds hold_at_least{};
    std::vector<std::string> job{};  ///< never empty
};

}  // namespace rowlock::cli
