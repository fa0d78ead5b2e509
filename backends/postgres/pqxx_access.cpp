#include "pqxx_access.hpp"

#include <exception>
#include <stdexcept>
#include <string>

#include <rowlock/error.hpp>

// All that differs between versions of libpqxx is in this file, and in <rowlock/pqxx_types.hpp>.
#if PQXX_VERSION_MAJOR < 7
#include <pqxx/connection_base>
#else
#include <pqxx/connection>
#endif
#include <pqxx/except>
#include <pqxx/subtransaction>
#include <pqxx/transaction_base>

#include "failure.hpp"

namespace rowlock::postgres {
namespace {

// libpqxx hands out no PGconn, and its own interface can neither wait with a deadline nor be woken. So this reaches for
// the private member, in the one place where C++ lets it be named: access is not checked in the arguments of an
// explicit instantiation ([temp.spec.general]/6). A libpqxx that calls the member something else does not compile here.
PGconn* member_of(pqxx_connection& c) noexcept;

template <auto Member>
struct opened {
    friend PGconn* member_of(pqxx_connection& c) noexcept { return c.*Member; }
};
template struct opened<&pqxx_connection::m_conn>;

[[noreturn]] void fail_to_connect(const std::exception& e) {
    std::throw_with_nested(connection_error{"the connection to PostgreSQL cannot be used: " + one_line(e.what()),
                                            {.backend = "postgresql"}});
}

}  // namespace

PGconn* raw(pqxx_connection& c) noexcept { return member_of(c); }

void connect_for_good(pqxx_connection& c) {
#if PQXX_VERSION_MAJOR < 7
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // there is no other way in version 6
    try {
        c.activate();
    } catch (const std::exception& e) {
        fail_to_connect(e);
    }
    c.inhibit_reactivation(true);
#pragma GCC diagnostic pop
#endif
    if (!raw(c) || PQstatus(raw(c)) != CONNECTION_OK)
        throw connection_error{"the connection to PostgreSQL is closed", {.backend = "postgresql"}};
}

PGconn* open_transaction(pqxx_transaction& tx) {
    auto* connection = raw(tx.conn());
    // A subtransaction of version 6 sets its savepoint late, too, and the parent has begun by then.
    if (!connection || PQtransactionStatus(connection) == PQTRANS_IDLE || dynamic_cast<pqxx::subtransaction*>(&tx)) {
        try {
            (void)tx.exec("SELECT 1");
        } catch (const pqxx::broken_connection& e) {
            fail_to_connect(e);
        } catch (const std::exception& e) {
            std::throw_with_nested(std::logic_error{"this transaction takes no statements now: " + one_line(e.what())});
        }
        connection = raw(tx.conn());
    }
    switch (connection ? PQtransactionStatus(connection) : PQTRANS_UNKNOWN) {
        case PQTRANS_INTRANS:
            return connection;
        case PQTRANS_IDLE:
            throw std::logic_error{
                "no transaction is open: locks of a transaction need one, such as pqxx::work, and not a "
                "pqxx::nontransaction"};
        case PQTRANS_INERROR:
            throw std::logic_error{"this transaction has failed: roll it back, or back to a savepoint, first"};
        case PQTRANS_ACTIVE:
            throw std::logic_error{"a statement, a pipeline or a COPY is going on in this transaction: end it first"};
        case PQTRANS_UNKNOWN:
            break;
    }
    throw connection_error{"the connection to PostgreSQL is broken", {.backend = "postgresql"}};
}

}  // namespace rowlock::postgres
