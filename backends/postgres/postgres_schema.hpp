#pragma once

#include <optional>

#include <rowlock/options.hpp>
#include <rowlock/schema.hpp>

#include "session.hpp"

namespace rowlock::postgres {

/// The steps in migrations/postgres/, written into a source at build time.
[[nodiscard]] std::span<const migration> migrations();

/// Migrates a database, over a connection that is opened when something is asked, or one that somebody has. Works
/// through poolers, too: everything that belongs together is one transaction.
class postgres_target final : public migration_target {
public:
    postgres_target(conninfo to, const options& opt);
    /// @param borrowed outlives this; no transaction is open on it
    postgres_target(PGconn* borrowed, const options& opt);

    /// For the schema that was asked for, so that what is shown is what is run; the checksums are those of the files.
    std::span<const migration> available() const override { return steps_; }
    std::vector<applied_migration> applied() override;
    void exclusively(const std::function<void()>& change) override;
    void apply(const migration& step) override;

private:
    session& connected();
    void roll_back() noexcept;

    const std::optional<conninfo> to_;  ///< empty: the connection is borrowed
    const std::chrono::milliseconds timeout_;
    const std::string schema_;
    const std::span<const migration> steps_;
    std::optional<visit> visit_;
    std::optional<session> session_;
};

}  // namespace rowlock::postgres
