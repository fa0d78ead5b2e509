// What <rowlock/postgres.hpp> does with the caller's own connection or transaction.
#include <rowlock/postgres.hpp>

#include <stdexcept>
#include <string>
#include <utility>

#include <rowlock/error.hpp>

#include <check_options.hpp>
#include <names.hpp>

#include "connection_backend.hpp"
#include "fence.hpp"
#include "postgres_schema.hpp"
#include "pqxx_access.hpp"
#include "transaction_lock.hpp"

namespace rowlock::postgres {
namespace {

// The connection, with no transaction open on it.
PGconn* idle_connection(pqxx_connection& conn, const char* what) {
    connect_for_good(conn);
    auto* const c = raw(conn);
    if (PQtransactionStatus(c) != PQTRANS_IDLE)
        throw std::logic_error{std::string{what} + " needs this connection without an open transaction: end it first"};
    return c;
}

}  // namespace

provider advisory_on(pqxx_connection& conn, options opt) {
    detail::check(opt);
    if (opt.fencing) schema{std::make_unique<postgres_target>(idle_connection(conn, "advisory_on()"), opt)}.check();
    auto b = std::make_unique<connection_backend>(conn, opt);
    return provider{std::move(b), std::move(opt)};
}

provider leases_on(pqxx_connection& conn, options opt) {
    detail::check(opt);
    connect_for_good(conn);
    auto to = conninfo_of(raw(conn), opt).text;
    return leases(to, std::move(opt));
}

bool try_lock(pqxx_transaction& tx, std::string_view name, const wait_bound& w) {
    const auto full = detail::full_name({}, name);
    return lock_in_transaction(open_transaction(tx), full, lock_mode::exclusive, w);
}

bool try_lock_shared(pqxx_transaction& tx, std::string_view name, const wait_bound& w) {
    const auto full = detail::full_name({}, name);
    return lock_in_transaction(open_transaction(tx), full, lock_mode::shared, w);
}

void lock(pqxx_transaction& tx, std::string_view name, std::stop_token stop) {
    (void)try_lock(tx, name, {deadline::never(), std::move(stop)});
}

void lock_shared(pqxx_transaction& tx, std::string_view name, std::stop_token stop) {
    (void)try_lock_shared(tx, name, {deadline::never(), std::move(stop)});
}

void fence(pqxx_transaction& tx, const lock_handle& held) {
    (void)held.request();  // an empty handle is the caller's mistake, whatever the transaction is like
    pin(open_transaction(tx), held);
}

void migrate(pqxx_connection& conn, const options& opt) {
    detail::check(opt);
    (void)schema{std::make_unique<postgres_target>(idle_connection(conn, "migrate()"), opt)}.migrate();
}

}  // namespace rowlock::postgres
