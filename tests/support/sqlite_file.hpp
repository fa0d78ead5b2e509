#pragma once

#include <filesystem>
#include <string>

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>

#include <rowlock/rowlock.hpp>
#include <rowlock/sqlite.hpp>

#include "eventually.hpp"
#include "temp_dir.hpp"

namespace rowlock::test {

/// A migrated database in a directory of its own, and a way past the library into it.
class sqlite_file {
public:
    sqlite_file() { sqlite::migrate(path()); }

    [[nodiscard]] std::filesystem::path path() const { return directory_ / "locks.db"; }
    [[nodiscard]] std::filesystem::path beside(const char* suffix) const { return path().string() + suffix; }
    [[nodiscard]] std::string url() const { return "sqlite:" + path().string(); }
    [[nodiscard]] const temp_dir& directory() const noexcept { return directory_; }
    [[nodiscard]] provider open(options opt = {}) const { return rowlock::open(url(), std::move(opt)); }

    /// Runs a statement on a connection of its own.
    void run(const std::string& sql) const { raw().exec(sql); }
    /// The first column of the first row, as text; empty if there is no row.
    [[nodiscard]] std::string ask(const std::string& sql) const {
        auto db = raw();
        SQLite::Statement s{db, sql};
        return s.executeStep() ? s.getColumn(0).getString() : std::string{};
    }
    [[nodiscard]] SQLite::Database raw() const { return {path().string(), SQLite::OPEN_READWRITE, 10000}; }

private:
    temp_dir directory_;
};

/// Waits until `count` wait for `name`.
[[nodiscard]] inline bool waiting(const provider& locks, std::size_t count, const std::string& name = "n") {
    return eventually([&] {
        for (const auto& s : locks.status())
            if (s.name == name) return s.waiters.size() == count;
        return count == 0;
    });
}

}  // namespace rowlock::test
