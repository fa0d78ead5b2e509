#include "kinds.hpp"

#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Statement.h>

#include <rowlock/sqlite.hpp>

#include <support/open_any.hpp>
#include <support/temp_dir.hpp>

namespace rowlock::conformance {
namespace {

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

}  // namespace

void add_sqlite(kinds& all) {
    for (const std::string name : {"sqlite", "sqlite-connection"})
        all.push_back({.name = name, .backend = "sqlite", .make_store = make<sqlite_store>(name + ":")});
}

}  // namespace rowlock::conformance
