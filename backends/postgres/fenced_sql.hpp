#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "advisory_sql.hpp"

namespace rowlock::postgres {

/// The statements of advisory locks whose grants have fencing tokens: the counter in the name's row, which leases of
/// the same name share. It is raised and made durable in the transaction that tries for the lock.
///
/// Whatever fails, a lock is either answered with its token, or not held: until the token is written it is the
/// transaction's, whose end by an error gives it back, and only the last step makes it the session's.
namespace fenced_sql {

struct fenced_lock {
    advisory_lock lock;
    fencing_token token;
};

/// As `advisory_sql::try_lock`.
[[nodiscard]] std::optional<fenced_lock> try_lock(session& s, std::string_view name, lock_mode mode,
                                                  const lock_keys& keys, std::span<const std::int64_t> permits,
                                                  bool shares_already, deadline d);

/// Exclusive locks of all these names, whose keys are given in the same order.
struct several_tokens {
    std::vector<fencing_token> all{};  ///< empty: none was taken
    std::size_t busy = 0;              ///< the first that somebody else has
};
[[nodiscard]] several_tokens try_all(session& s, std::span<const std::string_view> names,
                                     std::span<const std::int64_t> keys, deadline d);

/// The token of a lock that this session has just got by waiting.
[[nodiscard]] fencing_token raise(session& s, std::string_view name, deadline d);

}  // namespace fenced_sql
}  // namespace rowlock::postgres
