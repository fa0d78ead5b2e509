#pragma once

#include <span>
#include <string>
#include <string_view>

#include <rowlock/schema.hpp>

namespace rowlock::detail {

/// Where the tables are unless `options::schema` says otherwise.
inline constexpr std::string_view default_schema = "rowlock";

/// The steps of a back end, written for its default schema, for tables in another one. They are kept for good, as those
/// who are given the steps for the default may keep them, too.
/// @param in_schema puts another schema's name into SQL
/// Thread-safe.
[[nodiscard]] std::span<const migration> migrations_in_schema(std::span<const migration> steps,
                                                              const std::string& schema,
                                                              std::string (*in_schema)(std::string_view sql,
                                                                                       std::string_view schema));

}  // namespace rowlock::detail
