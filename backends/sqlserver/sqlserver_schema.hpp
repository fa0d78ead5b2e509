#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <rowlock/options.hpp>
#include <rowlock/schema.hpp>

#include <odbc/batch.hpp>

namespace rowlock::sqlserver {

/// The steps in migrations/sqlserver/, written into a source at build time.
[[nodiscard]] std::span<const migration> migrations();

/// Migrates a database, over a connection that is opened when something is asked, or one that somebody has.
class sqlserver_target final : public migration_target {
public:
    sqlserver_target(std::string connection_string, const options& opt);
    /// @param borrowed outlives this; no transaction is open on it
    sqlserver_target(odbc::connection& borrowed, const options& opt);

    /// What is done on a borrowed connection must not be part of a transaction of its owner's, who could roll it back,
    /// and whose own work a failure would roll back.
    /// @throws std::logic_error a transaction is open on it, or every statement begins one; a result is being read
    void check_no_transaction();

    /// For the schema that was asked for, so that what is shown is what is run; the checksums are those of the files.
    std::span<const migration> available() const override { return steps_; }
    std::vector<applied_migration> applied() override;
    void exclusively(const std::function<void()>& change) override;
    void apply(const migration& step) override;

private:
    odbc::connection& connected();
    void run_once(std::string_view sql);
    template <class... T>
    odbc::rows run(std::string_view sql, const T&... values);
    void roll_back() noexcept;
    void put_back(std::int64_t before) noexcept;

    const std::string connection_string_;
    const std::chrono::milliseconds timeout_;
    const std::string schema_;
    const std::span<const migration> steps_;
    odbc::canceler canceler_;
    std::shared_ptr<odbc::connection> owned_;
    odbc::connection* connection_ = nullptr;
};

}  // namespace rowlock::sqlserver
