#pragma once

#include <cstddef>

#include <rowlock/backend.hpp>

namespace rowlock::detail {

/// For containers by request: one part is random, the other counts.
struct request_id_hash {
    std::size_t operator()(const request_id& id) const noexcept { return id.provider ^ id.number; }
};

}  // namespace rowlock::detail
