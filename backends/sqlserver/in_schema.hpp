#pragma once

#include <string>
#include <string_view>

#include <migrations_in_schema.hpp>

namespace rowlock::sqlserver {

using detail::default_schema;

/// The statements are written for the schema [rowlock], in brackets, as that is the name of a hint, too.
[[nodiscard]] inline std::string in_schema(std::string_view sql, std::string_view schema) {
    const std::string ours = "[" + std::string{default_schema} + "]";
    std::string out;
    for (auto at = sql.find(ours); at != std::string_view::npos; at = sql.find(ours)) {
        out.append(sql.substr(0, at)).append(1, '[').append(schema).append(1, ']');
        sql.remove_prefix(at + ours.size());
    }
    return out.append(sql);
}

}  // namespace rowlock::sqlserver
