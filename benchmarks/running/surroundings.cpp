#include "surroundings.hpp"

#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <system_error>
#include <thread>

#include <rowlock/schema.hpp>

#ifdef ROWLOCK_HAVE_POSTGRES
#include <tests/support/postgres_server.hpp>
#endif

namespace bench {
namespace {

std::filesystem::path new_directory(const std::filesystem::path& where) {
    auto name = (where / "rowlock-bench-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::system_error{errno, std::generic_category(), where.string()};
    return name;
}

}  // namespace

#ifndef ROWLOCK_HAVE_POSTGRES
}  // namespace bench
namespace rowlock::test {
class postgres_server {};
}  // namespace rowlock::test
namespace bench {
#endif

surroundings::surroundings(const std::filesystem::path& where) : directory_{new_directory(where)} {}

surroundings::~surroundings() {
    if (redis_ > 0) {
        kill(redis_, SIGTERM);
        waitpid(redis_, nullptr, 0);
    }
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

std::vector<std::string> surroundings::urls() {
    std::vector<std::string> all{"memory:"};
    add_sqlite(all);
    add_postgres(all);
#ifdef ROWLOCK_HAVE_SQLSERVER
    // None can be started here.
    if (const char* server = std::getenv("ROWLOCK_TEST_SQLSERVER"))
        all.push_back(std::string{"sqlserver+applock:"} + server);
#endif
    all.push_back("flock:" + directory_.string());
    add_redis(all);
    return all;
}

void surroundings::add_sqlite(std::vector<std::string>& urls) const {
#ifdef ROWLOCK_HAVE_SQLITE
    const auto url = "sqlite:" + (directory_ / "locks.db").string();
    rowlock::open_schema(url).migrate();
    urls.push_back(url);
#else
    (void)urls;
#endif
}

void surroundings::add_postgres(std::vector<std::string>& urls) {
#ifdef ROWLOCK_HAVE_POSTGRES
    try {
        // A statement of the library is longer than what the server shows by default; and 100,000 advisory locks need
        // room in its table.
        postgres_ = std::make_unique<rowlock::test::postgres_server>(std::vector<std::string>{
            "fsync = on", "track_activity_query_size = 16384", "max_locks_per_transaction = 1024"});
        const auto uri = postgres_->uri(postgres_->new_database());
        rowlock::open_schema("postgresql+lease:" + uri).migrate();
        urls.push_back("postgresql+advisory:" + uri);
        urls.push_back("postgresql+lease:" + uri);
    } catch (const std::exception& e) {
        left_out_.push_back(std::string{"PostgreSQL: "} + e.what());
    }
#else
    (void)urls;
#endif
}

void surroundings::add_redis(std::vector<std::string>& urls) {
#ifdef ROWLOCK_BENCH_REDIS
    auto socket = (directory_ / "redis.sock").string(), directory = directory_.string();
    const std::string words[]{"redis-server", "--port",  "0",         "--unixsocket",          socket, "--save", "",
                              "--dir",        directory, "--logfile", directory + "/redis.log"};
    std::vector<char*> argv;
    for (const auto& w : words) argv.push_back(const_cast<char*>(w.c_str()));
    argv.push_back(nullptr);
    if (posix_spawnp(&redis_, "redis-server", nullptr, nullptr, argv.data(), environ) != 0) {
        redis_ = -1;
        left_out_.emplace_back("Redis: there is no redis-server");
        return;
    }
    for (int i = 0; i < 250; ++i) {
        struct stat s {};
        if (stat(socket.c_str(), &s) == 0) {
            urls.push_back("redis:" + socket);
            return;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds{20});
    }
    left_out_.emplace_back("Redis: the server did not start");
#else
    (void)urls;
#endif
}

}  // namespace bench
