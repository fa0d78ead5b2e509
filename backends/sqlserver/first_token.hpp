#pragma once

#include <string_view>

namespace rowlock::sqlserver {

/// For a transaction that has just inserted the row of @key: @token is its first token, above the floor. The floor is
/// read when the row is there. Before that, others could have made the row and purged it, which raises the floor;
/// from then on whoever purges meets the row.
inline constexpr std::string_view first_token = R"sql(
      SELECT @token = token + 1 FROM [rowlock].floor;
      UPDATE [rowlock].lock SET token = @token WHERE name_key = @key;)sql";

}  // namespace rowlock::sqlserver
