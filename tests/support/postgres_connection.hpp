#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include <libpq-fe.h>

namespace rowlock::test {

/// A plain connection, past the library: somebody else's session, with its own transactions.
class postgres_connection {
public:
    explicit postgres_connection(const std::string& conninfo) : connection_{PQconnectdb(conninfo.c_str()), &PQfinish} {
        if (PQstatus(connection_.get()) != CONNECTION_OK) throw std::runtime_error{PQerrorMessage(connection_.get())};
    }

    /// The last statement's first value; empty if it has none.
    std::string sql(const std::string& text) {
        const std::unique_ptr<PGresult, decltype(&PQclear)> r{PQexec(connection_.get(), text.c_str()), &PQclear};
        const auto status = PQresultStatus(r.get());
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
            throw std::runtime_error{PQerrorMessage(connection_.get())};
        return PQntuples(r.get()) == 0 ? std::string{} : PQgetvalue(r.get(), 0, 0);
    }

private:
    std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

}  // namespace rowlock::test
