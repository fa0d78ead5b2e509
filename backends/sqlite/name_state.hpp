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
    name_state(lease_store& store, const arena& here, std::int64_t token_floor, const std::string& name);
    /// The same for one who has read the tickets already.
    name_state(lease_store& store, const arena& here, std::int64_t token_floor, const std::string& name,
               std::vector<ticket_row> queue);

    /// Tries for `r`; see `backend::do_try_acquire`.
    /// @throws lock_lost `r` is an upgrade of a lease that is gone
    std::optional<grant> attempt(const lock_request& r);

    /// Takes `r` out of the queue; the grant, if it came through in the meantime.
    std::optional<grant> leave(const lock_request& r);

    /// Removes who is dead, and grants to those at the head of the queue whom the holders admit.
    void settle();

    /// Ends every lease, leaving a trace; those who held, for telling them.
    std::vector<lease_row> break_all(const std::string& reason, const std::string& by);

    /// The acquisitions that were granted from the queue: they must be rung once the transaction is committed.
    [[nodiscard]] const std::vector<request_id>& served() const noexcept { return served_; }

    /// What a waiter needs to know before it sleeps.
    struct outlook {
        std::optional<grant> got{};
        bool try_again = false;                   ///< somebody is dead, or our place is gone: `attempt` will do something
        std::vector<process_mark> watch{};        ///< whose death matters to us
        boot_clock::time_point look_again_at{};  ///< when something may have changed that nobody rings for
    };
    [[nodiscard]] outlook look(const lock_request& r) const;

    [[nodiscard]] const std::vector<lease_row>& holders() const noexcept { return leases_; }
    [[nodiscard]] const std::vector<ticket_row>& queue() const noexcept { return queue_; }
    [[nodiscard]] boot_clock::time_point now() const noexcept { return now_; }

private:
    void find_dead_tickets();
    [[nodiscard]] std::optional<grant> lease_of(const lock_request& r) const;
    [[nodiscard]] bool is_held_by(const request_id& id) const;
    [[nodiscard]] bool admits(const lock_request& r) const;
    [[nodiscard]] std::vector<ticket_row>::iterator ticket_of(const lock_request& r);
    grant give(const lock_request& r, const process_mark& process);

    lease_store& store_;
    const arena& here_;
    const std::int64_t token_floor_;
    const std::string& name_;
    const boot_clock::time_point now_;
    std::vector<lease_row> leases_;  ///< alive
    std::vector<lease_row> dead_leases_;
    std::vector<ticket_row> queue_;  ///< alive, in order
    std::vector<ticket_row> dead_tickets_;
    std::vector<request_id> served_;
};

}  // namespace rowlock::sqlite
