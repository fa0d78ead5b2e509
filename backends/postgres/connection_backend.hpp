#pragma once

#include <set>

#include "advisory_backend.hpp"
#include "borrowed_connection.hpp"
#include "server_wait.hpp"

namespace rowlock::postgres {

/// Advisory locks in the session of the caller's own connection. It may hold other locks, of this provider and of the
/// caller, so a wait gives back exactly what it took; and one who waits there for what the session itself holds would
/// get it at once, so that is waited for in this process.
class connection_backend final : public advisory_backend {
public:
    /// @throws std::logic_error, connection_error; unsupported there is a transaction pooler in between
    connection_backend(pqxx_connection& c, const options& opt);
    ~connection_backend() override;

private:
    backend_traits do_traits() const override;
    std::optional<grant> do_try_acquire(const lock_request& r, deadline d) override;
    several_grants do_try_acquire_all(std::span<const lock_request> all, deadline d) override;
    bool do_break(std::string_view name, std::string_view reason, std::string_view by, deadline d) override;
    std::optional<grant> do_await(const lock_request& r, const wait_bound& w,
                                  std::chrono::milliseconds operation_timeout) override;
    void do_release(const lock_request& r, deadline d) override;
    void add_unseen_waiters(advisory_status& status) const override;

    void refuse_self_deadlock(const lock_request& r, const wait_bound& w) const;
    [[nodiscard]] bool await_admission(const lock_request& r, const wait_bound& w);
    [[nodiscard]] bool shares(const lock_request& r) const;
    std::optional<grant> ask_again(const lock_request& r, const wait_bound& w,
                                   std::chrono::milliseconds operation_timeout);
    std::optional<grant> wait_in_server(const lock_request& r, const wait_bound& w,
                                        std::chrono::milliseconds operation_timeout);
    std::optional<grant> wait_for_permit(const lock_request& r, const wait_bound& w,
                                         std::chrono::milliseconds operation_timeout);
    bool wait_for_name(session& s, const advisory_lock& l, const wait_bound& w,
                       std::chrono::milliseconds operation_timeout);
    void pay(deadline d);

    borrowed_connection& connection_;
    wait_ender ender_;  ///< used by who waits in the session
    std::mutex paying_;
    std::map<request_id, lock_request> owed_;  ///< releases that the connection was not ready for
    std::vector<advisory_lock> owed_keys_;     ///< the same for places in the queue
};

}  // namespace rowlock::postgres
