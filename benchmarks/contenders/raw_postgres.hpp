#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

#include <libpq-fe.h>

#include <backends/postgres/statement.hpp>

namespace bench {

/// A session of bare libpq: statements prepared once, parameters and answers in binary, one round trip each. What a
/// program without rowlock would write.
class raw_postgres {
public:
    using answer = std::unique_ptr<PGresult, decltype(&PQclear)>;

    explicit raw_postgres(const std::string& conninfo) : connection_{PQconnectdb(conninfo.c_str()), &PQfinish} {
        if (PQstatus(connection_.get()) != CONNECTION_OK) throw std::runtime_error{PQerrorMessage(connection_.get())};
    }

    void run(const std::string& sql) { (void)text(sql); }
    /// The first column of the first row.
    std::string text(const std::string& sql) {
        const auto a = checked(PQexec(connection_.get(), sql.c_str()));
        return PQntuples(a.get()) > 0 ? PQgetvalue(a.get(), 0, 0) : "";
    }
    void prepare(const char* name, const std::string& sql) {
        (void)checked(PQprepare(connection_.get(), name, sql.c_str(), 0, nullptr));
    }
    template <class... T>
    answer execute(const char* name, const T&... values) {
        const rowlock::postgres::arguments<sizeof...(T)> a{values...};
        return checked(PQexecPrepared(connection_.get(), name, a.size(), a.values(), a.lengths(), a.formats(), 1));
    }

private:
    answer checked(PGresult* r) {
        answer a{r, &PQclear};
        if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
            throw std::runtime_error{PQerrorMessage(connection_.get())};
        return a;
    }

    std::unique_ptr<PGconn, decltype(&PQfinish)> connection_;
};

}  // namespace bench
