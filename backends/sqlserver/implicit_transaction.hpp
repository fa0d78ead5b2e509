#pragma once

#include <string_view>

namespace rowlock::sqlserver {

/// What reads no table, calls a procedure, or asks for nothing that could be there, begins no transaction where one is
/// to begin by itself (SET IMPLICIT_TRANSACTIONS ON, which is what SQL_ATTR_AUTOCOMMIT off is to Microsoft's driver).
/// This does: it looks up a row of a system table.
/// https://learn.microsoft.com/sql/t-sql/statements/set-implicit-transactions-transact-sql
inline constexpr std::string_view begin_implicitly =
    "SELECT COUNT(*) FROM INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = 'INFORMATION_SCHEMA'";

}  // namespace rowlock::sqlserver
