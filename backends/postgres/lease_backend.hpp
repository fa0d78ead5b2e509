#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include <rowlock/backend.hpp>

#include <request_id_hash.hpp>
#include <waiting_room.hpp>

#include "break_listener.hpp"
#include "lease_store.hpp"
#include "session_pool.hpp"

namespace rowlock::postgres {

/// Row leases. The row is the truth. Beside it two advisory locks of the name say who waits: the head of the queue
/// holds one, so the others wait for it in the server, in the order in which they came; who holds the lease holds the
/// other, so the head waits for that, and is woken by the release or by the end of the holder's session, and looks
/// again when the lease must have run out.
///
/// Behind a transaction pooler no session can hold anything: there everybody who waits asks again, after pauses by
/// chance.
class lease_backend final : public backend {
public:
    static constexpr std::string_view name = "postgresql+lease";

    /// Connects, to see that it can.
    /// @throws connection_error
    lease_backend(const conninfo& to, bool transaction_pooled);
    ~lease_backend() override;

private:
    struct holding {
        lock_mode mode;
        lease_keys keys;
        std::shared_ptr<member> bell;  ///< the session that holds the bell; null: none does
        lock_mode bell_mode;
    };

    backend_traits do_traits() const override;
    std::optional<grant> do_try_acquire(const lock_request& r, deadline d) override;
    several_grants do_try_acquire_all(std::span<const lock_request> all, deadline d) override;
    std::optional<grant> do_await(const lock_request& r, const wait_bound& w,
                                  std::chrono::milliseconds operation_timeout) override;
    std::optional<grant> do_abandon(const lock_request& r, deadline d) override;
    void do_release(const lock_request& r, deadline d) override;
    std::vector<renewal> do_renew(std::span<const lock_request* const> held, deadline d) override;
    renewal do_verify(const lock_request& r, deadline d) override;
    std::vector<lock_status> do_inspect(std::string_view prefix, deadline d) override;
    bool do_break(std::string_view name, std::string_view reason, std::string_view by, deadline d) override;
    std::size_t do_purge(std::chrono::milliseconds idle, deadline d) override;
    void do_listen(listener* l) override;

    struct attempt_result {
        std::optional<grant> got{};
        std::chrono::milliseconds expires_in{};
    };
    attempt_result attempt(const session_pool::use& here, const lock_request& r, lease_store::manners m, deadline d);
    std::optional<grant> settle(const lock_request& r, deadline d);
    std::optional<several_grants> settle(std::span<const lock_request> all, deadline d);
    std::optional<grant> await_upgrade(const lock_request& r, const wait_bound& w, std::chrono::milliseconds timeout);
    std::optional<grant> queue_in_server(const session_pool::use& here, const lock_request& r, const wait_bound& w,
                                         std::chrono::milliseconds timeout);
    [[nodiscard]] bool was_busy(const std::string& n) const;
    void note(const std::string& n, bool busy);
    void record(const lock_request& r, const lease_keys& k, std::shared_ptr<member> bell);
    std::optional<holding> take_holding(const request_id& id);
    void give_bell_back(const holding& h, deadline d);
    [[noreturn]] void in_doubt(std::span<const lock_request> asked);
    static renewal loss_of(session& s, const lock_request& r, deadline d);
    void session_gone(const member& m);

    const std::string schema_;
    const bool pooled_;
    mutable std::mutex mutex_;
    std::unordered_map<request_id, holding, detail::request_id_hash> holdings_;
    std::unordered_set<request_id, detail::request_id_hash> in_doubt_;
    std::unordered_set<std::string> busy_;  ///< names that were busy when they were last tried for
    detail::waiting_room room_;

    std::mutex listening_;
    listener* listener_ = nullptr;
    session_pool sessions_;
    break_listener breaks_;  // last: the threads end first
};

}  // namespace rowlock::postgres
