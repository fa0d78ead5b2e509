#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <rowlock/options.hpp>

#include <connection_claim.hpp>
#include <turns.hpp>

#include "descriptor.hpp"
#include "hang_up_watch.hpp"
#include "pqxx_access.hpp"
#include "session_source.hpp"

namespace rowlock::postgres {

/// The caller's connection as a source of one session, for one operation at a time. Who waits for a lock in it gives
/// way to whoever has something shorter to do.
///
/// Before each use the connection is compared with the one that was adopted: another one, or the same after it was
/// connected anew, holds none of the locks. Between uses nothing of it is touched, and nothing stays set on it.
///
/// Distinct objects: safe; there can be one for each connection.
/// Shared objects: safe.
class borrowed_connection final : public session_source {
public:
    /// @throws std::logic_error a transaction is open on it, or it has been borrowed before
    /// @throws connection_error
    borrowed_connection(pqxx_connection& c, std::string_view backend, const options& opt, gone_function gone);
    ~borrowed_connection() override;

    /// @throws std::logic_error a transaction is open, or something else is going on
    [[nodiscard]] use any(deadline d) override;
    /// Also inside a transaction.
    [[nodiscard]] use that(const std::shared_ptr<member>& m, deadline d) override;
    using session_source::without_locks;
    /// Empty also if somebody waits in it already.
    [[nodiscard]] std::optional<use> without_locks(const wait_bound& w, std::chrono::milliseconds connecting) override;

    /// Whether somebody has called `any` or `that`, and wakes whoever waits in the session.
    [[nodiscard]] bool wanted() const;
    /// Looks at it without using it.
    /// @throws no_answer, std::logic_error as any()
    void check_ready();

    /// The server process.
    [[nodiscard]] int pid() const noexcept { return only_->s.pid; }
    /// How to get to the same database.
    [[nodiscard]] const conninfo& to() const noexcept { return to_; }

private:
    void put_back(const std::shared_ptr<member>& m) noexcept override;
    use take(std::unique_lock<std::mutex>& lock, bool to_wait, bool in_transaction);
    void check_there(std::unique_lock<std::mutex>& lock);
    void enqueue(std::unique_lock<std::mutex>& lock, deadline d);
    void end(std::unique_lock<std::mutex>& lock, const std::string& why) noexcept;
    void heard_hang_up() noexcept;
    [[nodiscard]] PGconn* still_there() const noexcept;
    void check_status(bool in_transaction) const;

    pqxx_connection& theirs_;
    const std::string_view backend_;
    const gone_function gone_;
    std::optional<detail::connection_claim> claim_;
    const conninfo to_;
    const descriptor socket_;  ///< one of our own for the same socket, so that the owner may close theirs
    const int announced_pid_;

    mutable std::mutex mutex_;
    detail::turns turns_;
    std::shared_ptr<member> only_;
    std::optional<visit> visit_;
    int wanted_ = 0;
    hang_up_watch watch_;  // last: it ends first
};

}  // namespace rowlock::postgres
