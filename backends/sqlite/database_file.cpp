#include "database_file.hpp"

#include <stdexcept>
#include <string>

#include <rowlock/error.hpp>

#include "host.hpp"

namespace rowlock::sqlite {
namespace {

namespace fs = std::filesystem;

connection_error refused(const std::string& message) { return connection_error{message, {.backend = "sqlite"}}; }

}  // namespace

fs::path database_path(std::string_view text) {
    if (text.empty()) throw std::invalid_argument{"a SQLite URL names a file: sqlite:/path/to/locks.db"};
    if (text == ":memory:" || text.starts_with("file:"))
        throw std::invalid_argument{"\"" + std::string{text} + "\": locks that processes share need a database in a " +
                                    "file, as a plain path; for locks of one process use memory:"};
    // Absolute first: a relative path whose file does not exist yet would stay relative.
    const auto absolute = fs::absolute(fs::path{text});
    std::error_code failed;
    auto resolved = fs::weakly_canonical(absolute, failed);
    return failed ? absolute : resolved;
}

void check_directory(const fs::path& file, const options& opt) {
    std::error_code why;
    const auto directory = file.parent_path();
    if (!fs::is_directory(directory, why))
        throw refused("the directory " + directory.string() +
                      " does not exist or cannot be entered; create it, or "
                      "correct the path of the database");
    if (const auto network = network_file_system(directory); !network.empty() && !opt.allow_network_file_system)
        throw refused(file.string() + " is on a network file system (" + std::string{network} +
                      "), where SQLite's locking is not reliable: two holders at once and a damaged file are possible. "
                      "Put it on a local disk, or use a database server; to do it all the same, set "
                      "allow_network_file_system");
}

void check_file(const fs::path& file, const options& opt) {
    check_directory(file, opt);
    std::error_code why;
    const auto status = fs::status(file, why);
    if (!fs::exists(status))
        throw refused("there is no database " + file.string() +
                      "; create it with: rowlock migrate --db sqlite:" + file.string());
    if (!fs::is_regular_file(status)) throw refused(file.string() + " is not a file");
}

}  // namespace rowlock::sqlite
