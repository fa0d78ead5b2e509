#include "permit_search.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include <rowlock/error.hpp>

#include "resource_name.hpp"

namespace rowlock::sqlserver {

std::chrono::milliseconds pause_between_searches(const lock_request& r, std::chrono::milliseconds shortest,
                                                 deadline::clock::time_point began) {
    constexpr std::uint32_t many = 64;
    if (r.permits <= many) return shortest;
    return std::max(shortest, std::chrono::ceil<std::chrono::milliseconds>(deadline::clock::now() - began));
}

std::optional<std::string> take_free_permit(applock_session& s, const lock_request& r, std::uint32_t first,
                                            const std::vector<std::string>& own, const wait_bound& w, deadline d) {
    const error_context context{.lock_name = r.name, .backend = std::string{s.connection().backend()}};
    const std::unordered_set<std::string_view> mine{own.begin(), own.end()};
    std::size_t asked = 0;
    for (std::uint32_t i = 0; i < r.permits; ++i) {
        auto permit = permit_of(r.name, static_cast<std::uint32_t>((std::uint64_t{first} + i) % r.permits));
        if (mine.contains(permit)) continue;
        // Others may have the rest, or nobody: that it is busy would be a guess.
        if (asked == most_permits_asked)
            throw unsupported{
                std::to_string(asked) +
                    " permits of this semaphore are taken, and an applock cannot be had for any one of more: let it "
                    "have fewer permits, or take them through sqlserver+lease:",
                context};
        if (asked > 0 && w.over()) return std::nullopt;
        if (asked > 0 && d.expired())
            throw connection_error{"the time allowed was over before all permits had been asked for", context};
        ++asked;
        if (s.try_get(permit, applock_mode::exclusive, d)) return permit;
    }
    return std::nullopt;
}

}  // namespace rowlock::sqlserver
