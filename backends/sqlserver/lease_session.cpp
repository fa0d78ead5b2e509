#include "lease_session.hpp"

#include <chrono>
#include <random>
#include <thread>

#include "in_schema.hpp"

namespace rowlock::sqlserver {
namespace {

constexpr int attempts = 10;

// Error numbers. https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
namespace number {
constexpr int deadlock_victim = 1205;
constexpr int duplicate_key = 2627;
constexpr int duplicate_key_of_index = 2601;
}  // namespace number

// With XACT_ABORT an error ends the whole batch, and its transaction. A driver manager that pools connections hands out
// ones whose isolation level somebody else has set.
constexpr std::string_view settings =
    "SET XACT_ABORT ON; SET NOCOUNT ON; SET IMPLICIT_TRANSACTIONS OFF; SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

constexpr batch_text roll_back{"IF @@TRANCOUNT > 0 ROLLBACK"};

bool may_be_run_again(const error& e) {
    return e.native_code() == number::deadlock_victim || e.native_code() == number::duplicate_key ||
           e.native_code() == number::duplicate_key_of_index;
}

}  // namespace

lease_session::lease_session(const odbc::environment& e, odbc::canceler& c, const std::string& connection_string,
                             std::string_view backend, std::string schema, deadline d)
    : canceler_{c}, schema_{std::move(schema)}, applocks_{e, c, connection_string, backend, d} {
    odbc::batch::run_once(applocks_.connection(), settings, c, d);
}

odbc::batch& lease_session::prepare(const batch_text& b) {
    auto& found = prepared_[&b];
    if (!found) found = std::make_unique<odbc::batch>(applocks_.connection(), in_schema(b.sql, schema_));
    return *found;
}

// Returns if it makes sense to run the batch again.
void lease_session::recover(const error& e, int tries, deadline d) {
    if (!usable()) throw;
    try {
        (void)prepare(roll_back).run(canceler_, d);
    } catch (const error&) {
        abandon();
    }
    if (!usable() || !may_be_run_again(e) || tries == attempts || d.expired()) throw;
    thread_local std::minstd_rand random{std::random_device{}()};
    std::this_thread::sleep_for(std::chrono::microseconds{std::uniform_int_distribution{100, 1000 * tries}(random)});
}

}  // namespace rowlock::sqlserver
