#include <rowlock/backend.hpp>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <random>

#include <rowlock/error.hpp>

namespace rowlock {

using namespace std::chrono_literals;

backend::~backend() = default;

bool backend::supports(primitive p) const {
    const auto t = traits();
    switch (p) {
        case primitive::mutex:
            return true;
        case primitive::shared_mutex:
            return t.shared_mutex;
        case primitive::upgrade_mutex:
            return t.upgrade_mutex;
        case primitive::semaphore:
            return t.semaphore;
    }
    return false;
}

several_grants backend::do_try_acquire_all(std::span<const lock_request> all, deadline d) {
    several_grants got;
    const auto give_back = [&] {
        try {
            for (; !got.all.empty(); got.all.pop_back()) release(all[got.all.size() - 1], d);
        } catch (const std::exception&) {
            const auto& name = all[got.all.size() - 1].name;
            std::throw_with_nested(
                in_doubt_error{"not all of several locks could be had, and \"" + name + "\" could not be given back",
                               {.lock_name = name, .backend = std::string{traits().name}}});
        }
    };
    try {
        for (const auto& r : all) {
            const auto one = try_acquire(r, d);
            if (!one) break;
            got.all.push_back(*one);
        }
    } catch (const in_doubt_error&) {
        throw;  // asked again, those that are held answer with their grants
    } catch (...) {
        give_back();
        throw;
    }
    got.busy = got.all.size();
    if (got.busy < all.size()) give_back();
    return got;
}

std::optional<grant> backend::do_await(const lock_request& r, const wait_bound& w,
                                       std::chrono::milliseconds operation_timeout) {
    // Grows with the number of sleeps of this thread's current wait, which ends when another lock is waited for.
    thread_local struct {
        request_id id{};
        deadline::clock::duration pause{};
        std::minstd_rand random{std::random_device{}()};
    } wait;
    if (wait.id != r.id) wait.id = r.id, wait.pause = 1ms;

    // Jittered, so that waiters who started together do not come together for ever.
    const deadline::clock::duration pause = wait.pause / 2 + wait.pause * static_cast<int>(wait.random() % 1024) / 1024;
    wait.pause = std::min<deadline::clock::duration>(wait.pause * 3 / 2, 100ms);

    std::mutex m;
    std::unique_lock lock{m};
    std::condition_variable_any{}.wait_for(lock, w.stop, std::min(pause, w.until.remaining()), [] { return false; });
    if (w.stop.stop_requested()) return std::nullopt;
    return try_acquire(r, deadline::after(operation_timeout));
}

std::optional<grant> backend::do_abandon(const lock_request&, deadline) { return std::nullopt; }

std::vector<renewal> backend::do_renew(std::span<const lock_request* const> held, deadline) {
    return {held.size(), renewal{.expires_at = boot_clock::time_point::max()}};
}

renewal backend::do_verify(const lock_request&, deadline) { return {.expires_at = boot_clock::time_point::max()}; }

std::vector<lock_status> backend::do_inspect(std::string_view, deadline) {
    throw unsupported{"this back end cannot tell who holds what", {.backend = std::string{traits().name}}};
}

bool backend::do_break(std::string_view name, std::string_view, std::string_view, deadline) {
    throw unsupported{"this back end cannot break a lock",
                      {.lock_name = std::string{name}, .backend = std::string{traits().name}}};
}

std::size_t backend::do_purge(std::chrono::milliseconds, deadline) {
    throw unsupported{"this back end keeps no idle names", {.backend = std::string{traits().name}}};
}

backend_traits backend::do_traits() const { return {}; }

void backend::do_listen(listener*) {}

}  // namespace rowlock
