#pragma once

#include <algorithm>

#include <rowlock/error.hpp>

#include "row_leases.hpp"

namespace rowlock::detail {

// What a session that waits for a lease got hold of beside it: given back when the wait ends. The bell of a lease that
// was granted stays; giving back the place makes the next one the head of the queue.
template <class Store>
class row_leases<Store>::place_in_queue {
public:
    place_in_queue(const Store& store, session& waiting, const keys& k, std::chrono::milliseconds t)
        : store_{store}, session_{waiting}, keys_{k}, timeout_{t} {}
    place_in_queue(const place_in_queue&) = delete;
    place_in_queue& operator=(const place_in_queue&) = delete;
    ~place_in_queue() {
        if (!session_.usable()) return;
        try {
            const auto d = deadline::after(timeout_);
            if (granted)
                store_.leave_queue(session_, keys_, d);
            else
                store_.unlock_all(session_, keys_, d);
        } catch (const std::exception&) {
            session_.abandon();  // closing it gives back all of it
        }
    }

    bool granted = false;

private:
    const Store& store_;
    session& session_;
    const keys& keys_;
    const std::chrono::milliseconds timeout_;
};

// How often to look again when the server cannot wake us: soon at first, 20 times a second in the long run.
inline std::chrono::milliseconds next_pause(std::chrono::milliseconds p) {
    return std::min<std::chrono::milliseconds>(2 * p, std::chrono::milliseconds{32});
}

template <class Store>
std::optional<grant> row_leases<Store>::do_await(const lock_request& r, const wait_bound& w,
                                                 std::chrono::milliseconds operation_timeout) {
    using namespace std::chrono_literals;
    if (r.upgrade) return await_upgrade(r, w, operation_timeout);
    if (!room_.await_turn(r.id, w)) return std::nullopt;
    try {
        auto here = sessions_wait_ ? sessions_->to_wait(w, operation_timeout) : std::nullopt;
        if (here) {
            auto got = queue_in_server(*here, r, w, operation_timeout);
            if (got) room_.leave(r.id);
            return got;
        }
        for (auto p = 1ms; !w.over(); p = next_pause(p)) {
            pause(p, w);
            if (w.stop.stop_requested()) break;
            const auto d = deadline::after(operation_timeout);
            auto got = attempt(sessions_->any(d), r, {}, d).got;
            if (got) room_.leave(r.id);
            if (got) return got;
        }
        return std::nullopt;
    } catch (...) {
        room_.leave(r.id);
        throw;
    }
}

template <class Store>
std::optional<grant> row_leases<Store>::queue_in_server(const use& here, const lock_request& r, const wait_bound& w,
                                                        std::chrono::milliseconds timeout) {
    using namespace std::chrono_literals;
    const auto k = store_.keys_of(r.name);
    place_in_queue place{store_, *here, k, timeout};

    if (!store_.wait_for_queue(*sessions_, *here, k, w, timeout)) return std::nullopt;
    // Permits, upgrade locks and those who share beside them come free one by one, which no bell tells.
    const bool bell_tells = r.mode == lock_mode::exclusive || r.mode == lock_mode::shared;
    bool bell = false;
    // Mostly the holder gives way soon, and it does not matter when its lease would run out.
    auto look_again = deadline::after(10ms);
    for (auto p = 1ms; !w.over();) {
        if (bell_tells && !bell) {
            bell = store_.wait_for_bell(*sessions_, *here, k, r.mode == lock_mode::shared,
                                        {std::min(w.until, look_again), w.stop}, timeout);
            if (!bell && w.over()) break;
        }
        const auto tried = attempt(here, r, {.head = true, .has_bell = bell}, deadline::after(timeout));
        if (tried.got) {
            place.granted = true;
            return tried.got;
        }
        look_again = deadline::after(std::max<std::chrono::milliseconds>(tried.expires_in, 1ms) + 1ms);
        if (bell_tells && !bell) continue;
        // Whose lease it is has no bell: its session died, or it was taken through a pooler.
        pause(p, w);
        p = next_pause(p);
    }
    return std::nullopt;
}

template <class Store>
std::optional<grant> row_leases<Store>::await_upgrade(const lock_request& r, const wait_bound& w,
                                                      std::chrono::milliseconds timeout) {
    using namespace std::chrono_literals;
    deadline announced = deadline::passed();
    for (auto p = 1ms; !w.over(); p = next_pause(p)) {
        const auto d = deadline::after(timeout);
        {
            const auto here = sessions_->any(d);
            if (announced.expired()) {
                store_.announce_upgrade(*here, r, true, d);
                announced = deadline::after(r.ttl / 2);
            }
            if (auto got = attempt(here, r, {}, d).got) return got;
        }
        pause(p, w);
    }
    return std::nullopt;
}

template <class Store>
std::optional<grant> row_leases<Store>::do_abandon(const lock_request& r, deadline d) {
    room_.leave(r.id);
    if (r.upgrade) store_.announce_upgrade(*sessions_->any(d), r, false, d);
    return std::nullopt;
}

}  // namespace rowlock::detail
