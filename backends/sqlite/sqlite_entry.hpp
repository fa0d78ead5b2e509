#pragma once

#include <registry.hpp>

namespace rowlock::sqlite {

extern const detail::backend_entry entry;

/// How a database file is, for `rowlock doctor`.
[[nodiscard]] std::vector<finding> diagnose(std::string_view path, const options& opt);

}  // namespace rowlock::sqlite
