#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include <rowlock/backend.hpp>

namespace rowlock::detail {

/// What a try for a row lease brought.
struct lease_answer {
    std::optional<fencing_token> token{};    ///< granted
    bool bell = false;                       ///< granted, and this session holds the bell
    bool left_queue = false;                 ///< granted, and this session has left the head of the queue
    bool dead_parts = false;                 ///< busy, but some who hold it have run out: `reap`, then try again
    bool contended = false;                  ///< busy, because the row was just being written
    bool lost = false;                       ///< an upgrade: there is nothing to upgrade any more
    std::chrono::milliseconds expires_in{};  ///< busy: until when the holder does not give way by itself
};

/// How a try goes about what wakes waiters.
struct lease_manners {
    bool bell = true;       ///< take the bell with the lease
    bool head = false;      ///< the caller is the head of the queue: nobody is overtaken
    bool has_bell = false;  ///< this session has the bell already
    bool rang = false;      ///< the bell came just now, from somebody who may still be committing
};

/// What a session that queued for a lease has now.
struct queue_place {
    bool head = false;     ///< it is the head of the queue
    bool bell = false;     ///< and has the bell, too
    bool at_once = false;  ///< and did not have to wait for it
};

/// What is left of a lease.
struct found_lease {
    lock_mode mode;
    fencing_token token;
    std::chrono::milliseconds left;
};

/// One of several leases that were asked for together: which, by its index among the requests.
struct several_lease {
    std::size_t at;
    fencing_token token;
    bool bell = false;                 ///< this session has its bell
    std::chrono::milliseconds left{};  ///< found: how long it still is
};
struct several_answer {
    static constexpr auto nobody = static_cast<std::size_t>(-1);
    std::vector<several_lease> granted{};  ///< all of them or, but for a rare race, none
    std::size_t busy = nobody;             ///< the first that somebody else has
    bool dead_parts = false;               ///< that one: some who hold it have run out
    bool contended = false;                ///< that one: its row was just being written
};

/// One who holds a lease, or waits to upgrade one, or a name without any.
struct lease_row {
    std::string name;
    std::optional<holder_status> holder{};
    std::optional<waiter_status> waiter{};
};

}  // namespace rowlock::detail
