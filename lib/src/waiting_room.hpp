#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <rowlock/backend.hpp>

#include "condition.hpp"
#include "request_id_hash.hpp"

namespace rowlock::detail {

/// Those of one provider who wait, by name, in the order in which they came. The first of each name waits in the
/// server, the others here for their turn: so a name costs one connection, however many threads wait for it.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class waiting_room {
public:
    /// Whether somebody waits for `name`.
    [[nodiscard]] bool anybody(std::string_view name) const;
    /// Takes a place at the end; nothing happens if `r` has one.
    /// @param asked the database was asked for it, and it was busy
    void join(const lock_request& r, bool asked = true);
    /// The database is asked for it now; whether it was before.
    bool ask(const request_id& id);
    /// False: it was the first, and time was over before the database was asked for it.
    bool leave(const request_id& id);
    /// Blocks until `id` is the first of its name; false: `w` is over before that, or it has no place.
    [[nodiscard]] bool await_turn(const request_id& id, const wait_bound& w);

    struct place {
        std::string name;
        waiter_status who;
    };
    [[nodiscard]] std::vector<place> everybody() const;
    /// Those whom the server does not see.
    [[nodiscard]] std::vector<place> behind_the_first() const;

private:
    struct waiter {
        waiter(const lock_request& r, bool was_asked)
            : name{r.name}, id{r.id}, status{r.mode, r.owner, now()}, asked{was_asked} {}
        static std::chrono::system_clock::time_point now() { return std::chrono::system_clock::now(); }

        const std::string name;
        const request_id id;
        const waiter_status status;
        bool asked;
        condition turn{};
    };

    [[nodiscard]] std::vector<place> from(std::size_t first) const;

    std::atomic<bool> any_{false};  ///< somebody waits for something; for who does not want the mutex
    mutable std::mutex mutex_;
    std::unordered_map<request_id, std::shared_ptr<waiter>, request_id_hash> waiters_;
    std::map<std::string, std::deque<std::shared_ptr<waiter>>, std::less<>> queues_;
};

/// Sleeps for a while by chance between `shortest` and twice that, or until `w` is over. For the few waits that the
/// server cannot do.
void pause(std::chrono::milliseconds shortest, const wait_bound& w);

}  // namespace rowlock::detail
