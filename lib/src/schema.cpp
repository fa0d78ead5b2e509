#include <rowlock/schema.hpp>

#include <algorithm>
#include <utility>

#include <rowlock/error.hpp>

namespace rowlock {

migration_target::~migration_target() = default;

schema::schema(std::unique_ptr<migration_target> target) : target_{std::move(target)} {}

std::span<const migration> schema::all() const { return target_->available(); }

std::vector<migration> schema::plan() {
    const auto steps = all();
    const auto done = target_->applied();
    std::size_t next = 0;
    for (const auto& a : done) {
        if (next == steps.size())
            throw schema_error{"the database is newer than this library: it has migration " + a.name +
                               ", this library ends at " + (steps.empty() ? "none" : std::string{steps.back().name}) +
                               "; use a newer rowlock"};
        const auto& step = steps[next];
        if (a.number != step.number || a.name != step.name)
            throw schema_error{"the database has migration " + a.name + " where this library has " +
                               std::string{step.name} + "; it was migrated by another program, or steps are missing"};
        // Empty: the file was run by another tool, which records no checksum.
        if (!a.checksum.empty() && a.checksum != step.checksum)
            throw schema_error{"migration " + a.name +
                               " was edited after it had been applied to this database (its checksum differs); use "
                               "the rowlock that the database was migrated with, or undo the edit"};
        ++next;
    }
    return {steps.begin() + static_cast<std::ptrdiff_t>(next), steps.end()};
}

void schema::check() {
    const auto missing = plan();
    if (missing.empty()) return;
    throw schema_error{"the database is not migrated: " + std::string{missing.front().name} +
                       (missing.size() > 1 ? " and later steps are" : " is") +
                       " missing; run `rowlock migrate` on it first"};
}

std::vector<migration> schema::migrate() {
    if (plan().empty()) return {};
    std::vector<migration> ran;
    target_->exclusively([&] {
        for (const auto& step : plan()) {  // again: another process may have done it since
            target_->apply(step);
            ran.push_back(step);
        }
    });
    return ran;
}

}  // namespace rowlock
