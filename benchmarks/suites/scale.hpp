#pragma once

#include <cstddef>
#include <string>

#include <report/report.hpp>

namespace bench {

/// `count` locks held by one provider, acquired many at a time.
[[nodiscard]] measurement held_locks(const std::string& url, std::size_t count, bool quick);

}  // namespace bench
