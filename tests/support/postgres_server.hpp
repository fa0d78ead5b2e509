#pragma once

#include <memory>
#include <string>
#include <vector>

namespace rowlock::test {

/// A real PostgreSQL server in a temporary directory, stopped and removed at the end.
class postgres_server {
public:
    /// @param settings lines for postgresql.conf
    explicit postgres_server(const std::vector<std::string>& settings = {});
    /// A hot standby that streams from `primary`.
    struct standby_of {
        const postgres_server& primary;
    };
    explicit postgres_server(standby_of s);
    ~postgres_server();
    postgres_server(const postgres_server&) = delete;
    postgres_server& operator=(const postgres_server&) = delete;

    /// One for the whole program, started at first use.
    static postgres_server& shared();

    /// A new, empty database; its name.
    [[nodiscard]] std::string new_database();

    /// A connection string for libpq; through the socket, or TCP.
    [[nodiscard]] std::string conninfo(const std::string& database, const std::string& more = {}) const;
    [[nodiscard]] std::string tcp_conninfo(const std::string& database, const std::string& more = {}) const;
    /// The path of the Unix-domain socket.
    [[nodiscard]] std::string socket() const { return directory_ + "/.s.PGSQL." + port_; }
    /// What stands behind the scheme in a URI, through the socket; no blanks in it.
    [[nodiscard]] std::string uri(const std::string& database) const;
    /// For the driver manager of ODBC, through the socket and psqlODBC.
    [[nodiscard]] std::string odbc_connection_string(const std::string& database) const;
    /// Through PgBouncer with that pool mode, which is started at first use.
    [[nodiscard]] std::string pooler_conninfo(const std::string& mode, const std::string& database);
    /// The same as what stands behind the scheme in a URI.
    [[nodiscard]] std::string pooler_uri(const std::string& mode, const std::string& database);

    /// Runs SQL with psql as the superuser; the rows, one line each, columns separated by '|'.
    [[nodiscard]] std::string sql(const std::string& database, const std::string& text) const;

    /// Runs a file with psql as the superuser, stopping at the first error.
    void run_file(const std::string& database, const std::string& path) const;

    /// What the server has logged at level WARNING or above since the last call.
    [[nodiscard]] std::string new_complaints();

    void restart(const std::string& mode = "fast");
    void stop(const std::string& mode = "fast");
    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

private:
    [[nodiscard]] static std::string run(const std::string& command);
    [[nodiscard]] const std::string& pooler_port(const std::string& mode);

    std::string directory_;
    std::string port_;
    std::vector<std::pair<std::string, std::string>> poolers_;
    std::size_t log_seen_ = 0;
    int databases_ = 0;
};

}  // namespace rowlock::test
