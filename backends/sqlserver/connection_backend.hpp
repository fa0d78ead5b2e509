#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include <odbc/borrowed_connection.hpp>

#include "applock_backend.hpp"

namespace rowlock::sqlserver {

/// Applocks in the session of the caller's own connection. It may hold other locks, of this provider and of the caller,
/// so a wait gives back exactly what it took; and one who waits there for what the session itself holds would get it at
/// once, so that is waited for in this process.
///
/// No upgrade locks: a name that is shared in the same session would be held in two modes, of which SQL Server keeps
/// the stronger one to the end; and the wait for the conversion would keep the readers here from letting go.
class connection_backend final : public applock_backend {
public:
    /// @throws std::invalid_argument, std::logic_error, connection_error
    explicit connection_backend(SQLHDBC theirs);
    ~connection_backend() override;

private:
    using borrowed = odbc::borrowed_connection<applock_session>;

    backend_traits do_traits() const override;
    std::optional<grant> do_try_acquire(const lock_request& r, deadline d) override;
    std::optional<grant> do_await(const lock_request& r, const wait_bound& w,
                                  std::chrono::milliseconds operation_timeout) override;
    void do_release(const lock_request& r, deadline d) override;
    std::optional<grant> share_again(const lock_request& r, const std::shared_ptr<member>& at, deadline d) override;

    void refuse_self_deadlock(const lock_request& r, const wait_bound& w) const;
    [[nodiscard]] bool await_admission(const lock_request& r, const wait_bound& w);
    std::optional<grant> ask_again(const lock_request& r, const wait_bound& w,
                                   std::chrono::milliseconds operation_timeout);
    std::optional<grant> wait_in_server(const lock_request& r, const wait_bound& w,
                                        std::chrono::milliseconds operation_timeout);
    std::optional<grant> wait_for_permit(const lock_request& r, const wait_bound& w,
                                         std::chrono::milliseconds operation_timeout);
    bool get(const use& here, std::string_view resource, std::string_view mode, const wait_bound& w,
             std::chrono::milliseconds operation_timeout);
    void pay(deadline d);

    borrowed& connection_;
    std::mutex paying_;
    std::map<request_id, lock_request> owed_;  ///< releases that the connection was not ready for
    std::vector<std::string> owed_queues_;     ///< the same for places in the queue
};

}  // namespace rowlock::sqlserver
