#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <optional>

#include <rowlock/options.hpp>

#include <row_leases.hpp>

#include <odbc/canceler.hpp>

#include "lease_backend.hpp"

namespace rowlock::sqlserver {

/// The thread that ends calls: below the session that uses it.
struct canceler_of_leases {
    odbc::canceler canceler{};
};

/// Row leases through the caller's connection alone. No thread of the library's may use it: ODBC wants drivers to let
/// threads share a connection, and FreeTDS 1.3 aborts the process. So leases are renewed where the caller verifies
/// them, who waits asks again and again, and what could not be given back is given back by the next call.
class lease_connection_backend final : canceler_of_leases, public detail::row_leases<lease_store> {
public:
    /// @throws std::logic_error it cannot be used now; schema_error
    lease_connection_backend(SQLHDBC theirs, const options& opt);
    ~lease_connection_backend() override;

private:
    backend_traits do_traits() const override;
    std::optional<grant> do_try_acquire(const lock_request& r, deadline d) override;
    std::optional<grant> do_await(const lock_request& r, const wait_bound& w,
                                  std::chrono::milliseconds operation_timeout) override;
    std::optional<grant> do_abandon(const lock_request& r, deadline d) override;
    void do_release(const lock_request& r, deadline d) override;
    renewal do_verify(const lock_request& r, deadline d) override;

    void pay(deadline d);

    std::mutex mutex_;
    std::map<request_id, lock_request> owed_;
};

}  // namespace rowlock::sqlserver
