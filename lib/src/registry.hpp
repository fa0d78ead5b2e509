#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include <rowlock/doctor.hpp>
#include <rowlock/provider.hpp>
#include <rowlock/schema.hpp>

namespace rowlock::detail {

/// What a back end offers to those who have only a URL.
struct backend_entry {
    std::string_view scheme;  ///< "sqlite:"; what follows it is passed on
    std::string_view usage;   ///< "sqlite:PATH"
    provider (*open)(std::string_view rest, options opt);
    std::unique_ptr<migration_target> (*target)(std::string_view rest, const options& opt);  ///< null: has no schema
    std::vector<finding> (*diagnose)(std::string_view rest, const options& opt);
};

}  // namespace rowlock::detail
