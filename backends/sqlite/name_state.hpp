#pragma once

#include <optional>
#include <string>
#include <vector>

#include <rowlock/backend.hpp>

#include "arena.hpp"
#include "lease_store.hpp"

namespace rowlock::sqlite {

/// One name as the tables have it in the caller's transaction: who holds it, who waits, and the rules by which it goes
/// from one to the next. The queue is strict: who comes later never overtakes.
///
/// Whoever releases grants to the head of the queue in the same transaction, so that a hand-over costs one commit, and
/// whoever finds a holder dead or expired does it for him.
class name_state {
public:
    /// @param token_floor what every token of this boot is above
    /// @param claims of that name, as the store has them; of the holders only, for `refuses`
    name_state(lease_store& store, const arena& here, std::int64_t token_floor, const std::string& name,
               std::vector<claim> claims);

    /// Whether a try for `r` would come back busy and change nothing, as far as the holders tell.
    [[nodiscard]] bool refuses(const lock_request& r) const;

    /// Tries for `r`; see `backend::do_try_acquire`.
    /// @throws lock_lost `r` is an upgrade of a lease that is gone
    std::optional<grant> attempt(const lock_request& r);

    /// Takes `r` out of the queue; the grant, if it came through in the meantime.
    std::optional<grant> leave(const lock_request& r);

    /// Removes who is dead, and grants to those at the head of the queue whom the holders admit.
    void settle();

    /// Ends every lease, leaving a trace; those who held, for telling them.
    std::vector<claim> break_all(const std::string& reason, const std::string& by);

    /// The acquisitions that were granted from the queue: they must be rung once the transaction is committed.
    [[nodiscard]] const std::vector<request_id>& served() const noexcept { return served_; }

    /// What a waiter needs to know before it sleeps.
    struct outlook {
        std::optional<grant> got{};
        bool try_again = false;             ///< somebody is dead, or our place is gone: `attempt` will do something
        std::vector<process_mark> watch{};  ///< whose death matters to us
        boot_clock::time_point look_again_at{};  ///< when something may have changed that nobody rings for
    };
    [[nodiscard]] outlook look(const lock_request& r) const;

    [[nodiscard]] const std::vector<claim>& holders() const noexcept { return holders_; }
    [[nodiscard]] const std::vector<claim>& queue() const noexcept { return queue_; }
    [[nodiscard]] boot_clock::time_point now() const noexcept { return now_; }

private:
    [[nodiscard]] std::optional<grant> lease_of(const lock_request& r) const;
    [[nodiscard]] bool is_held_by(const request_id& id) const;
    [[nodiscard]] bool admits(const lock_request& r) const;
    [[nodiscard]] std::vector<claim>::const_iterator place_of(const lock_request& r) const;
    [[nodiscard]] bool is_dead(const claim& c) const;
    void bury_the_dead();
    grant give(const lock_request& r, const process_mark& process);

    lease_store& store_;
    const arena& here_;
    const std::int64_t token_floor_;
    const std::string& name_;
    const boot_clock::time_point now_;
    std::vector<claim> holders_;  ///< alive
    std::vector<claim> queue_;    ///< alive, in order
    std::vector<claim> dead_;
    std::vector<request_id> served_;
};

}  // namespace rowlock::sqlite
