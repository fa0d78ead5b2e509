#include "applock_token.hpp"

#include <joined.hpp>

#include "applock_backend.hpp"
#include "first_token.hpp"

namespace rowlock::sqlserver {
namespace {

// Nobody is alone with the row: who shares a name raises its counter at the same time, and so do leases. One of those
// who insert the row at once succeeds, the others begin anew.
//
// key, name. Nothing has no name, and no token.
constexpr std::string_view raise_or_insert = R"sql(
DECLARE @key varbinary(255) = ?, @name nvarchar(255) = ?;
DECLARE @token bigint;
IF DATALENGTH(@key) > 0
BEGIN
  BEGIN TRANSACTION;
  UPDATE [rowlock].lock SET token = token + 1, granted_at = SYSUTCDATETIME() WHERE name_key = @key;
  IF @@ROWCOUNT = 1
    SELECT @token = token FROM [rowlock].lock WHERE name_key = @key;
  ELSE
  BEGIN
      INSERT INTO [rowlock].lock (name_key, name, token, granted_at) VALUES (@key, @name, 0, SYSUTCDATETIME());)sql";
constexpr std::string_view commit = R"sql(
  END;
  COMMIT;
END;
SELECT @token)sql";
constexpr batch_text raise{detail::joined<raise_or_insert, first_token, commit>.data()};

}  // namespace

void get_ready_for_tokens(lease_session& s, deadline d) { (void)s.run(raise, d, odbc::bytes{{}}, std::string_view{}); }

fencing_token raise_token(lease_session& s, const std::string& name, deadline d) {
    const auto rows = s.run(raise, d, odbc::bytes{name}, std::string_view{name});
    return fencing_token{static_cast<std::uint64_t>(rows.integer(0, 0))};
}

void refuse_to_purge() {
    throw unsupported{"applocks leave no idle names behind, unless they have fencing tokens",
                      {.backend = std::string{applock_backend::name}}};
}

}  // namespace rowlock::sqlserver
