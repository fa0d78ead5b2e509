#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "placement.hpp"
#include "server_process.hpp"

namespace rowlock::test {
class postgres_server;
}

namespace bench {

/// What is measured when nobody says what: databases in a temporary directory, and servers that are started for it.
/// All of it ends and goes away with the object.
class surroundings {
public:
    explicit surroundings(const std::filesystem::path& where);
    ~surroundings();
    surroundings(const surroundings&) = delete;
    surroundings& operator=(const surroundings&) = delete;

    /// A URL for each kind that this build knows and this machine has.
    [[nodiscard]] const std::vector<std::string>& urls() const noexcept { return urls_; }
    /// The servers that were started.
    [[nodiscard]] const placer::servers& servers() const noexcept { return servers_; }
    /// Kinds that were left out, and why.
    [[nodiscard]] const std::vector<std::string>& left_out() const noexcept { return left_out_; }

private:
    template <class Start>
    void attempt(const char* what, Start start);
    void add_sqlite();
    void add_postgres();
    void add_sqlserver();
    void add_redis();
    void add_mariadb();

    std::filesystem::path directory_;
    std::unique_ptr<rowlock::test::postgres_server> postgres_;
    std::vector<std::unique_ptr<server_process>> others_;
    std::vector<std::string> urls_, left_out_;
    placer::servers servers_;
};

}  // namespace bench
