#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include <rowlock/error.hpp>

#include <odbc/batch.hpp>

#include "applock_session.hpp"

namespace rowlock::sqlserver {

/// A batch of statements that answers with one row or more, with `?` for its parameters. There is one object for each:
/// a constant at the top of the file that uses it.
struct batch_text {
    std::string_view sql;
};

/// One connection that takes applocks and runs batches on rowlock's tables: of our own, or the caller's. On the
/// caller's a batch does nothing while a transaction is open, which would have part in it, and leaves the session's
/// settings as they were.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class lease_session : public applock_session {
public:
    /// Connects, and sets what the batches rely on.
    /// @param schema empty: it takes applocks only, and sets nothing
    /// @throws connection_error
    lease_session(const odbc::environment& e, odbc::canceler& c, const std::string& connection_string,
                  std::string_view backend, std::string schema, deadline d);

    /// On somebody else's connection, which is not closed here.
    lease_session(SQLHDBC theirs, odbc::canceler& c, std::string_view backend, std::string schema);

    /// Runs a batch: one round trip. One that was chosen as the victim of a deadlock, or came upon a row that another
    /// one had inserted in that moment, is run again: so it must be a transaction, or a single statement.
    /// @throws no_answer the session is not usable any more
    /// @throws odbc::connection_busy the caller's connection is in a transaction, or in the middle of a result
    /// @throws rowlock::error the server reported an error; no transaction is open then
    template <class... T>
    odbc::rows run(const batch_text& b, deadline d, const T&... values) {
        auto& prepared = prepare(b);
        for (int tries = 1;; ++tries) {
            try {
                check_autocommit();
                auto found = prepared.run(canceler_, d, values...);
                check_was_ready(found);
                return found;
            } catch (const error& e) {
                recover(e, tries, d);
            }
        }
    }

    /// Which rowlock's tables are in.
    [[nodiscard]] const std::string& schema() const noexcept { return schema_; }
    using applock_session::abandon;
    void abandon() { abandon("what it holds is not known"); }

private:
    odbc::batch& prepare(const batch_text& b);
    [[nodiscard]] bool borrowed() noexcept { return connection().is_borrowed(); }
    void check_autocommit();
    void check_was_ready(odbc::rows& found);
    void recover(const error& e, int tries, deadline d);

    odbc::canceler& canceler_;
    const std::string schema_;
    std::unordered_map<const batch_text*, std::unique_ptr<odbc::batch>> prepared_;
};

}  // namespace rowlock::sqlserver
