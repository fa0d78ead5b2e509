// The permits of semaphores: what is in applock_backend.hpp about them.
#include <algorithm>

#include "applock_backend.hpp"
#include "resource_name.hpp"

namespace rowlock::sqlserver {
namespace {

using namespace std::chrono_literals;

}  // namespace

// Nobody overtakes the head of the queue, who holds its resource.
std::optional<grant> applock_backend::attempt_permit(const lock_request& r, const pool::use& here, deadline d) {
    const auto queue = queue_of(r.name);
    if (!here->try_get(queue, applock_mode::shared, d)) return std::nullopt;
    undo(*here, [&] { here->release(queue, d); });
    return take_permit(r, here, d);
}

std::optional<grant> applock_backend::take_permit(const lock_request& r, const pool::use& here, deadline d) {
    const auto resource = resource_of(r.name);
    const bool first = times_held(r.name, here.who()) == 0;
    if (!get_here(r, here, resource, applock_mode::intent_exclusive, d)) return std::nullopt;
    const auto permits = choose_permits(r);
    auto got = permits.end();
    try {
        got = std::find_if(permits.begin(), permits.end(),
                           [&](const auto& p) { return here->try_get(p, applock_mode::exclusive, d); });
    } catch (...) {
        undo(*here, [&] { here->release(resource, d, first); });
        throw;
    }
    if (got != permits.end()) return record(r, here, d, *got);
    undo(*here, [&] { here->release(resource, d, first); });
    return std::nullopt;
}

// Starts at a permit by chance, so that those who come at the same time do not all try the same ones first.
std::vector<std::string> applock_backend::choose_permits(const lock_request& r) {
    std::uint32_t first = 0;
    std::vector<std::string> taken;
    {
        const std::lock_guard lock{mutex_};
        first = std::uniform_int_distribution<std::uint32_t>{0, r.permits - 1}(random_);
        if (const auto n = names_.find(r.name); n != names_.end()) taken = n->second.permits;
    }
    return permits_from(r.name, r.permits, first, taken);
}

// Waits for the head of the queue in the server. Only the head looks for a free permit, again and again, with
// pauses of 1 to 32 ms in between: the server cannot wait for one of several locks.
std::optional<grant> applock_backend::wait_for_permit(const lock_request& r, const pool::use& here, const wait_bound& w,
                                                      std::chrono::milliseconds operation_timeout) {
    const auto operation = [&] { return deadline::after(operation_timeout); };
    const auto queue = queue_of(r.name);
    if (!wait_for_applock(sessions_, here.who(), queue, applock_mode::exclusive, w, operation_timeout))
        return std::nullopt;
    std::optional<grant> got;
    try {
        for (auto slice = 1ms; !got; slice = std::min(2 * slice, 16ms)) {
            got = take_permit(r, here, operation());
            if (got || w.over()) break;
            detail::pause(slice, w);
        }
    } catch (...) {
        undo(*here, [&] { here->release(queue, operation()); });
        throw;
    }
    undo(*here, [&] { here->release(queue, operation()); });
    return got;
}

}  // namespace rowlock::sqlserver
