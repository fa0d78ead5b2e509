#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rowlock/options.hpp>

namespace rowlock {

/// One numbered step of a database's schema, as it stands in `migrations/`.
struct migration {
    int number;
    std::string_view name;      ///< "0001_locks"
    std::string_view sql;       ///< the whole file; a shell of the database can run it
    std::string_view checksum;  ///< SHA-256 of the file, in hexadecimal
};

/// A step that a database says it has. The checksum is empty if another tool ran the file.
struct applied_migration {
    int number;
    std::string name;
    std::string checksum;
};

/// A database that migrations can be applied to; one derived class for each kind.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class migration_target {
public:
    virtual ~migration_target();

    /// All steps that exist, in order.
    [[nodiscard]] virtual std::span<const migration> available() const = 0;

    /// What is recorded; empty where nothing is, also where there is no database yet. Changes nothing.
    [[nodiscard]] virtual std::vector<applied_migration> applied() = 0;

    /// Runs `change` so that no other process can migrate at the same time, all of it or nothing.
    virtual void exclusively(const std::function<void()>& change) = 0;

    /// Runs one step and records it with its checksum; inside `exclusively` only.
    virtual void apply(const migration& step) = 0;
};

/// The schema of one database: what it has, what it lacks.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class schema {
public:
    explicit schema(std::unique_ptr<migration_target> target);

    /// The steps that `migrate()` would run. Changes nothing.
    /// @throws schema_error the database is newer than this library, or a step was edited or is missing
    [[nodiscard]] std::vector<migration> plan();

    /// @throws schema_error as `plan()`, and if a step has still to be run; the message says which
    void check();

    /// Brings the database up to date and returns the steps that were run. Twenty processes may call it at once:
    /// one does the work, the others wait for it and find nothing to do.
    /// @throws schema_error as `plan()`
    /// @throws connection_error the database cannot be used
    std::vector<migration> migrate();

    /// All steps, applied or not.
    [[nodiscard]] std::span<const migration> all() const;

private:
    std::unique_ptr<migration_target> target_;
};

/// The schema of the database that `url` names. Opens nothing until asked. A back end without one (`memory:`) has an
/// empty plan.
/// @throws std::invalid_argument no such kind of URL, or an option makes no sense
[[nodiscard]] schema open_schema(std::string_view url, const options& opt = {});

}  // namespace rowlock
