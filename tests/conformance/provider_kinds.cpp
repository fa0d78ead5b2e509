#include "provider_kind.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <rowlock/memory.hpp>

#include <support/open_any.hpp>
#include <support/temp_dir.hpp>
#ifdef ROWLOCK_HAVE_SQLITE
#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>
#include <rowlock/sqlite.hpp>
#endif

namespace rowlock::conformance {
namespace {

class memory_store final : public store {
public:
    explicit memory_store(options opt) : locks_{open_any_memory(std::move(opt))} {}
    provider open() override { return locks_; }
    // The map of names is the database here, and status() shows it as it is.
    int holders_in_database(std::string_view name) override {
        for (const auto& s : locks_.status(name))
            if (s.name == name) return static_cast<int>(s.holders.size());
        return 0;
    }

private:
    static provider open_any_memory(options opt) { return test::open_any("memory:", std::move(opt)); }
    provider locks_;
};

#ifdef ROWLOCK_HAVE_SQLITE
class sqlite_store final : public store {
public:
    sqlite_store(std::string scheme, options opt)
        : url_{std::move(scheme) + file().string()}, options_{std::move(opt)} {
        sqlite::migrate(file());
    }
    provider open() override { return test::open_any(url_, options_); }
    std::string url() const override { return url_; }
    int holders_in_database(std::string_view name) override {
        SQLite::Database db{file().string(), SQLite::OPEN_READONLY, 5000};
        SQLite::Statement count{db, "SELECT count(*) FROM rowlock_lease WHERE name = ? AND turn = 0"};
        count.bind(1, std::string{name});
        return count.executeStep() ? count.getColumn(0).getInt() : -1;
    }
    bool expire(std::string_view name) override {
        SQLite::Database db{file().string(), SQLite::OPEN_READWRITE, 5000};
        SQLite::Statement end{db, "UPDATE rowlock_lease SET expires_at_us = 1 WHERE name = ? AND turn = 0"};
        end.bind(1, std::string{name});
        end.exec();
        return true;
    }

private:
    std::filesystem::path file() const { return directory_ / "locks.db"; }

    test::temp_dir directory_;
    const std::string url_;
    const options options_;
};
#endif

#if __has_include(<examples/flock_backend.hpp>)
#define ROWLOCK_TEST_FLOCK
class flock_store final : public store {
public:
    explicit flock_store(options opt) : options_{std::move(opt)} {}
    provider open() override { return test::open_any(url(), options_); }
    std::string url() const override { return "flock:" + directory_.path().string(); }
    // Counts the files below its directory that somebody has locked; the names are the back end's own affair, and those
    // who share a lock are one.
    int holders_in_database(std::string_view) override {
        int locked = 0;
        for (const auto& entry : std::filesystem::recursive_directory_iterator{directory_.path()}) {
            if (!entry.is_regular_file()) continue;
            const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
            locked += ::flock(fd, LOCK_EX | LOCK_NB) != 0;
            close(fd);
        }
        return locked;
    }

private:
    const test::temp_dir directory_;
    const options options_;
};
#endif

}  // namespace

std::vector<provider_kind> provider_kinds() {
    std::vector<provider_kind> all;
    all.push_back({"memory", "memory", true, [](options o) { return std::make_unique<memory_store>(std::move(o)); }});
#ifdef ROWLOCK_HAVE_SQLITE
    for (const std::string name : {"sqlite", "sqlite-connection"})
        all.push_back({name, "sqlite", true,
                       [name](options o) { return std::make_unique<sqlite_store>(name + ":", std::move(o)); }});
#endif
#ifdef ROWLOCK_TEST_FLOCK
    all.push_back({"flock", "flock", false, [](options o) { return std::make_unique<flock_store>(std::move(o)); }});
#endif
    return all;
}

}  // namespace rowlock::conformance
