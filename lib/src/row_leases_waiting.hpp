#pragma once

#include <algorithm>
#include <utility>

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
        if (left || !session_.usable()) return;
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
    bool left = false;  ///< it was given back by the statement that took the lease, or went with its session

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
        auto here = sessions_wait_ ? sessions_->without_locks(w, operation_timeout) : std::nullopt;
        if (here) {
            const bool asked = room_.ask(r.id);
            auto got = queue_in_server(*here, r, asked, w, operation_timeout);
            if (got) room_.leave(r.id);
            return got;
        }
        for (auto p = 1ms; !w.over(); p = next_pause(p)) {
            pause(p, w);
            if (w.stop.stop_requested()) break;
            const auto d = deadline::after(operation_timeout);
            room_.ask(r.id);
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
std::optional<grant> row_leases<Store>::queue_in_server(const use& here, const lock_request& r, bool asked,
                                                        const wait_bound& w, std::chrono::milliseconds timeout) {
    using namespace std::chrono_literals;
    const auto k = store_.keys_of(r.name);
    place_in_queue place{store_, *here, k, timeout};
    const auto waiting = [&place](auto wait) {
        try {
            return wait();
        } catch (const no_answer&) {  // its driver may still be at it
            place.left = true;
            throw;
        }
    };

    // Permits, upgrade locks and those who share beside them come free one by one, which no bell tells.
    const bool bell_tells = r.mode == lock_mode::exclusive || r.mode == lock_mode::shared;
    const bool shared = r.mode == lock_mode::shared;
    queue_place has;
    if (bell_tells)  // mostly the holder gives way soon, and it does not matter when its lease would run out
        has = waiting([&] { return store_.wait_for_both(*sessions_, here, k, shared, w, 10ms, timeout); });
    else
        has.head =
            waiting([&] { return store_.wait_for_queue(*sessions_, here, k, w, timeout); }) != wait_result::ended;
    if (!has.head) return std::nullopt;

    bool at_once = has.at_once;
    bool rang = has.bell;
    for (auto p = 1ms;;) {
        // If it was never asked for, also when time is over: whose bell it is, his lease may have run out.
        if (asked && !has.bell && w.over()) break;
        asked = true;
        const lease_manners manners{.head = true, .has_bell = has.bell, .rang = std::exchange(rang, false)};
        const auto tried = attempt(here, r, manners, deadline::after(timeout));
        if (tried.got) {
            place.granted = true;
            place.left = tried.left_queue;
            if (r.mode == lock_mode::exclusive) busy_.note(r.name, !at_once);
            return tried.got;
        }
        at_once = false;
        if (w.over()) break;
        if (bell_tells && !has.bell) {
            const auto look_again = deadline::after(std::max<std::chrono::milliseconds>(tried.expires_in + 1ms, 10ms));
            const wait_bound patience{std::min(w.until, look_again), w.stop};
            has.bell = waiting([&] { return store_.wait_for_bell(*sessions_, here, k, shared, patience, timeout); }) !=
                       wait_result::ended;
            if (!has.bell && w.over()) break;
            rang = has.bell;
        } else {
            // Whose lease it is has no bell: its session died, or it was taken through a pooler.
            pause(p, w);
            p = next_pause(p);
        }
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
    // Time was over before it could wait, and there was no try: but busy is only what is known to be.
    if (!room_.leave(r.id)) return ask_now(r, d);
    if (r.upgrade) store_.announce_upgrade(*sessions_->any(d), r, false, d);
    return std::nullopt;
}

}  // namespace rowlock::detail
