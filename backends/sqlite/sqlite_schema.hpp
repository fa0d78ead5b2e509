#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include <SQLiteCpp/Database.h>

#include <rowlock/options.hpp>
#include <rowlock/schema.hpp>

namespace rowlock::sqlite {

/// The steps in migrations/sqlite/, written into a source at build time.
[[nodiscard]] std::span<const migration> migrations();

/// Migrates a database file, or the caller's connection.
class sqlite_target final : public migration_target {
public:
    /// The file is opened when something is asked, and created when something is changed.
    sqlite_target(std::filesystem::path file, options opt);
    explicit sqlite_target(SQLite::Database& callers);

    std::span<const migration> available() const override { return migrations(); }
    std::vector<applied_migration> applied() override;
    void exclusively(const std::function<void()>& change) override;
    void apply(const migration& step) override;

private:
    SQLite::Database& open(int flags);

    const std::filesystem::path file_;
    const options options_;
    std::optional<SQLite::Database> own_;
    SQLite::Database* db_ = nullptr;
};

}  // namespace rowlock::sqlite
