#include "surroundings.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include <rowlock/schema.hpp>

#ifdef ROWLOCK_HAVE_POSTGRES
#include <tests/support/postgres_server.hpp>
#else
namespace rowlock::test {
class postgres_server {};
}  // namespace rowlock::test
#endif

namespace bench {
namespace {

std::filesystem::path new_directory(const std::filesystem::path& where) {
    auto name = (where / "rowlock-bench-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::system_error{errno, std::generic_category(), where.string()};
    return name;
}

}  // namespace

template <class Start>
void surroundings::attempt(const char* what, Start start) {
    try {
        start();
    } catch (const std::exception& e) {
        left_out_.push_back(std::string{what} + ": " + e.what());
    }
}

surroundings::surroundings(const std::filesystem::path& where) : directory_{new_directory(where)} {
    urls_.emplace_back("memory:");
    add_sqlite();
    add_postgres();
    add_sqlserver();
    urls_.push_back("flock:" + directory_.string());
    add_redis();
    add_mariadb();
}

surroundings::~surroundings() {
    others_.clear();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

void surroundings::add_sqlite() {
#ifdef ROWLOCK_HAVE_SQLITE
    const auto url = "sqlite:" + (directory_ / "locks.db").string();
    rowlock::open_schema(url).migrate();
    urls_.push_back(url);
#endif
}

void surroundings::add_postgres() {
#ifdef ROWLOCK_HAVE_POSTGRES
    attempt("PostgreSQL", [&] {
        // A statement of the library is longer than what the server shows by default; and 100,000 advisory locks need
        // room in its table.
        postgres_ = std::make_unique<rowlock::test::postgres_server>(std::vector<std::string>{
            "fsync = on", "track_activity_query_size = 16384", "max_locks_per_transaction = 1024"});
        pid_t postmaster = 0;
        if (!(std::ifstream{postgres_->directory() + "/data/postmaster.pid"} >> postmaster))
            throw std::runtime_error{"the server does not tell its process"};
        const auto uri = postgres_->uri(postgres_->new_database());
        rowlock::open_schema("postgresql+lease:" + uri).migrate();
        for (const auto* scheme : {"postgresql+advisory:", "postgresql+lease:"}) {
            urls_.push_back(scheme + uri);
            servers_.emplace(scheme + uri, postmaster);
        }
    });
#endif
}

void surroundings::add_sqlserver() {
#ifdef ROWLOCK_HAVE_SQLSERVER
    // None can be started here.
    const char* const server = std::getenv("ROWLOCK_TEST_SQLSERVER");
    if (!server) return;
    urls_.push_back(std::string{"sqlserver+applock:"} + server);
    attempt("leases in SQL Server", [&] {
        const auto url = std::string{"sqlserver+lease:"} + server;
        rowlock::open_schema(url).migrate();
        urls_.push_back(url);
    });
#endif
}

void surroundings::add_redis() {
#ifdef ROWLOCK_BENCH_REDIS
    attempt("Redis", [&] {
        const auto directory = directory_.string(), socket = directory + "/redis.sock";
        const std::vector<std::string> command{"redis-server", "--port", "0",     "--unixsocket", socket,
                                               "--save",       "",       "--dir", directory};
        others_.push_back(std::make_unique<server_process>(command, socket));
        urls_.push_back("redis:" + socket);
        servers_.emplace(urls_.back(), others_.back()->pid());
    });
#endif
}

void surroundings::add_mariadb() {
#ifdef ROWLOCK_BENCH_MARIADB
    attempt("MariaDB", [&] {
        // Locks are all that is asked of it: it needs neither users nor tables.
        const auto directory = directory_.string() + "/mariadb", socket = directory + ".sock";
        std::filesystem::create_directory(directory);
        std::vector<std::string> command{"mariadbd",
                                         "--no-defaults",
                                         "--skip-grant-tables",
                                         "--skip-networking",
                                         "--innodb=OFF",
                                         "--default-storage-engine=Aria",
                                         "--datadir=" + directory,
                                         "--socket=" + socket,
                                         "--log-error=" + directory + "/log",
                                         "--pid-file=" + directory + "/pid"};
        if (geteuid() == 0) command.emplace_back("--user=root");
        others_.push_back(std::make_unique<server_process>(command, socket));
        urls_.push_back("mariadb:" + socket);
        servers_.emplace(urls_.back(), others_.back()->pid());
    });
#endif
}

}  // namespace bench
