// The permits of semaphores: what is in applock_backend.hpp about them.
#include <algorithm>

#include "applock_backend.hpp"
#include "permit_search.hpp"
#include "resource_name.hpp"
#include "session_wait.hpp"

namespace rowlock::sqlserver {
namespace {

using namespace std::chrono_literals;

}  // namespace

// Nobody overtakes the head of the queue, who holds its resource.
std::optional<grant> applock_backend::attempt_permit(const lock_request& r, const pool::use& here, deadline d) {
    const auto queue = queue_of(r.name);
    if (!here->try_get(queue, applock_mode::shared, d)) return std::nullopt;
    undo(*here, [&] { here->release(queue, d); });
    return take_permit(r, here, {.until = deadline::never()}, d);
}

std::optional<grant> applock_backend::take_permit(const lock_request& r, const pool::use& here, const wait_bound& w,
                                                  deadline d) {
    const auto resource = resource_of(r.name);
    const bool first = times_held(r.name, here.who()) == 0;
    if (!get_here(r, here, resource, applock_mode::intent_exclusive, d)) return std::nullopt;
    std::optional<std::string> permit;
    try {
        std::vector<std::string> own;
        const auto start = where_to_start(r, own);
        permit = take_free_permit(*here, r, start, own, w, d);
    } catch (...) {
        if (here->usable()) undo(*here, [&] { here->release(resource, deadline::after(1s), first); });
        throw;
    }
    if (permit) return record(r, here, d, *permit);
    undo(*here, [&] { here->release(resource, d, first); });
    return std::nullopt;
}

// At a permit by chance, so that those who come at the same time do not all try the same ones first.
std::uint32_t applock_backend::where_to_start(const lock_request& r, std::vector<std::string>& own) {
    const std::lock_guard lock{mutex_};
    if (const auto n = names_.find(r.name); n != names_.end()) own = n->second.permits;
    return std::uniform_int_distribution<std::uint32_t>{0, r.permits - 1}(random_);
}

// Waits for the head of the queue in the server. Only the head looks for a free permit, again and again, with
// pauses of 1 to 32 ms in between, or as long as a look takes: the server cannot wait for one of several locks.
std::optional<grant> applock_backend::wait_for_permit(const lock_request& r, const pool::use& here, const wait_bound& w,
                                                      std::chrono::milliseconds operation_timeout) {
    const auto operation = [&] { return deadline::after(operation_timeout); };
    const auto queue = queue_of(r.name);
    if (!wait_for_applock(sessions_, here.who(), queue, applock_mode::exclusive, w, operation_timeout))
        return std::nullopt;
    std::optional<grant> got;
    try {
        for (auto slice = 1ms; !got && !w.over(); slice = std::min(2 * slice, 16ms)) {
            const auto before = deadline::clock::now();
            got = take_permit(r, here, w, operation());
            if (!got) detail::pause(pause_between_searches(r, slice, before), w);
        }
    } catch (...) {
        undo(*here, [&] { here->release(queue, operation()); });
        throw;
    }
    undo(*here, [&] { here->release(queue, operation()); });
    return got;
}

}  // namespace rowlock::sqlserver
