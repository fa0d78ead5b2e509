#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <rowlock/backend.hpp>
#include <rowlock/options.hpp>

#include <admission.hpp>
#include <condition.hpp>
#include <odbc/borrowed_connection.hpp>
#include <odbc/canceler.hpp>
#include <waiting_room.hpp>

#include "lease_session.hpp"

namespace rowlock::sqlserver {

/// Applocks in the session of the caller's own connection; resource_name.hpp has which ones stand for what. It may hold
/// other locks, of this provider and of the caller, so a wait gives back exactly what it took; and one who waits there
/// for what the session itself holds would get it at once, so that is waited for in this process.
///
/// No upgrade locks: a name that is shared in the same session would be held in two modes, of which SQL Server keeps
/// the stronger one to the end; and the wait for the conversion would keep the readers here from letting go.
class connection_backend final : public backend {
public:
    /// With `options::fencing` grants have tokens, for which the database must have been migrated.
    /// @throws std::invalid_argument, std::logic_error, connection_error, schema_error
    connection_backend(SQLHDBC theirs, const options& opt);
    ~connection_backend() override;

private:
    using borrowed = odbc::borrowed_connection<lease_session>;
    using use = borrowed::use;

    struct holding {
        lock_request request;
        std::string permit{};  ///< the resource of the permit
        std::optional<fencing_token> token{};
        std::thread::id by = std::this_thread::get_id();
    };

    backend_traits do_traits() const override;
    std::optional<grant> do_try_acquire(const lock_request& r, deadline d) override;
    std::optional<grant> do_await(const lock_request& r, const wait_bound& w,
                                  std::chrono::milliseconds operation_timeout) override;
    std::optional<grant> do_abandon(const lock_request& r, deadline d) override;
    void do_release(const lock_request& r, deadline d) override;
    renewal do_verify(const lock_request& r, deadline d) override;
    std::size_t do_purge(std::chrono::milliseconds idle, deadline d) override;
    void do_listen(listener* l) override;

    std::optional<grant> attempt(const lock_request& r, deadline d, const wait_bound* head = nullptr);
    std::optional<grant> take_permit(const lock_request& r, const use& here, const wait_bound& w, deadline d);
    bool take_name(const lock_request& r, const use& here, deadline d);

    void refuse_self_deadlock(const lock_request& r, const wait_bound& w) const;
    [[nodiscard]] bool await_admission(const lock_request& r, const wait_bound& w);
    std::optional<grant> wait_in_server(const lock_request& r, const wait_bound& w,
                                        std::chrono::milliseconds operation_timeout);
    std::optional<grant> ask_beside_others(const lock_request& r, const wait_bound& w,
                                           std::chrono::milliseconds operation_timeout);
    std::optional<grant> wait_for_permit(const lock_request& r, const wait_bound& w,
                                         std::chrono::milliseconds operation_timeout);
    bool get(const use& here, std::string_view resource, std::string_view mode, const wait_bound& w,
             std::chrono::milliseconds operation_timeout);

    /// Of what the session has just got; if there is no token to be had, it is given back.
    grant record(const lock_request& r, const use& here, deadline d, const std::string& permit = {});
    void give_back(const lock_request& r, deadline d);
    void pay(deadline d);
    [[nodiscard]] std::optional<grant> held_by(const request_id& id) const;
    [[nodiscard]] bool admits(const lock_request& r) const;
    [[nodiscard]] std::size_t times_held(std::string_view name) const;
    [[nodiscard]] std::uint32_t where_to_start(const lock_request& r, std::vector<std::string>& own);
    void forget(const request_id& id);
    void session_gone(const std::string& why);

    const bool fencing_;
    mutable std::mutex mutex_;
    detail::condition forgotten_;  ///< a lock was given back, or lost
    std::map<request_id, holding> holdings_;
    std::map<std::string, detail::holders, std::less<>> names_;
    std::map<request_id, lock_request> owed_;  ///< releases that the connection was not ready for
    std::vector<std::string> owed_queues_;     ///< the same for places in the queue
    std::minstd_rand random_{std::random_device{}()};

    std::mutex paying_;
    detail::waiting_room room_;
    std::mutex listening_;
    listener* listener_ = nullptr;
    odbc::canceler canceler_;
    borrowed connection_;
};

}  // namespace rowlock::sqlserver
