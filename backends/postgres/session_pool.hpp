#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "hang_up_watch.hpp"
#include "session_source.hpp"

namespace rowlock::postgres {

/// The few connections of one provider. One keeps all locks that were free when they were asked for; waiting is done on
/// others that hold nothing, so that giving back never queues behind a wait. Who waited for a lock keeps it.
///
/// A session that broke is taken out, its owner is told, and it is closed after that.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class session_pool final : public session_source {
public:
    /// Connections at most; waits beyond that have to do without one.
    static constexpr std::size_t limit = 16;

    /// @param gone called before the session is closed
    session_pool(conninfo to, std::string_view backend, bool transaction_pooled, gone_function gone);

    /// The free session with the most locks.
    [[nodiscard]] use any(deadline d) override;
    [[nodiscard]] use that(const std::shared_ptr<member>& m, deadline d) override;
    /// A session without locks. Empty: all that may be opened are in use or hold locks.
    [[nodiscard]] std::optional<use> without_locks(deadline d) override;

    [[nodiscard]] std::size_t size() const;

private:
    void put_back(const std::shared_ptr<member>& m) noexcept override;
    std::shared_ptr<member> open(std::unique_lock<std::mutex>& lock, bool to_wait, deadline d);
    void retire(std::unique_lock<std::mutex>& lock, const std::shared_ptr<member>& m) noexcept;
    void heard_hang_up(std::uint64_t id) noexcept;

    const conninfo to_;
    const std::string_view backend_;
    const bool transaction_pooled_;
    const gone_function gone_;

    mutable std::mutex mutex_;
    std::condition_variable freed_;
    std::vector<std::shared_ptr<member>> members_;
    std::size_t opening_ = 0;
    std::uint64_t next_id_ = 0;
    hang_up_watch watch_;  // last: it ends first
};

}  // namespace rowlock::postgres
