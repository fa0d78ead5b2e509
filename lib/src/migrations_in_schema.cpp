#include "migrations_in_schema.hpp"

#include <list>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace rowlock::detail {

std::span<const migration> migrations_in_schema(std::span<const migration> steps, const std::string& schema,
                                                std::string (*in_schema)(std::string_view sql,
                                                                         std::string_view schema)) {
    if (schema == default_schema) return steps;
    struct made {
        std::list<std::string> texts;
        std::vector<migration> steps;
    };
    static std::mutex mutex;
    static auto& all = *new std::map<std::pair<const migration*, std::string>, made>;
    const std::lock_guard lock{mutex};
    auto& here = all[{steps.data(), schema}];
    if (here.steps.empty())
        for (auto step : steps) {
            step.sql = here.texts.emplace_back(in_schema(step.sql, schema));
            here.steps.push_back(step);
        }
    return here.steps;
}

}  // namespace rowlock::detail
