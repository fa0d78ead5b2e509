// What <rowlock/sqlserver.hpp> does with the caller's own connection or transaction.
#include <rowlock/sqlserver.hpp>

#include <utility>

#include <check_options.hpp>
#include <names.hpp>

#include "connection_backend.hpp"
#include "lease_connection_backend.hpp"
#include "transaction_lock.hpp"

namespace rowlock::sqlserver {

provider applock_on(SQLHDBC conn, options opt) {
    detail::check(opt);
    auto b = std::make_unique<connection_backend>(conn, opt);
    return provider{std::move(b), std::move(opt)};
}

provider leases_on(SQLHDBC conn, options opt) {
    detail::check(opt);
    auto b = std::make_unique<lease_connection_backend>(conn, opt);
    return provider{std::move(b), std::move(opt)};
}

bool try_lock(SQLHDBC conn, std::string_view name, const wait_bound& w) {
    return lock_in_transaction(conn, detail::full_name({}, name), lock_mode::exclusive, w);
}

bool try_lock_shared(SQLHDBC conn, std::string_view name, const wait_bound& w) {
    return lock_in_transaction(conn, detail::full_name({}, name), lock_mode::shared, w);
}

void lock(SQLHDBC conn, std::string_view name, std::stop_token stop) {
    (void)try_lock(conn, name, {deadline::never(), std::move(stop)});
}

void lock_shared(SQLHDBC conn, std::string_view name, std::stop_token stop) {
    (void)try_lock_shared(conn, name, {deadline::never(), std::move(stop)});
}

}  // namespace rowlock::sqlserver
