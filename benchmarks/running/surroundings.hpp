#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

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
    [[nodiscard]] std::vector<std::string> urls();
    /// Kinds that were left out, and why.
    [[nodiscard]] const std::vector<std::string>& left_out() const noexcept { return left_out_; }

private:
    void add_sqlite(std::vector<std::string>& urls) const;
    void add_postgres(std::vector<std::string>& urls);
    void add_redis(std::vector<std::string>& urls);

    std::filesystem::path directory_;
    std::unique_ptr<rowlock::test::postgres_server> postgres_;
    pid_t redis_ = -1;
    std::vector<std::string> left_out_;
};

}  // namespace bench
