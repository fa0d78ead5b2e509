#pragma once

#include <filesystem>
#include <string>

namespace SQLite {
class Database;
class Exception;
}  // namespace SQLite

namespace rowlock::sqlite {

/// Another connection has the database locked right now. Never leaves this back end: the operation is tried again
/// until its deadline.
struct busy {};

/// SQLite said `code` (extended): throws `busy`, or the `rowlock::error` that fits, with what to do about it.
[[noreturn]] void fail(int code, const std::string& message, const std::string& file);

/// The same for what SQLiteCpp threw, which stays nested.
[[noreturn]] void fail(const SQLite::Exception& e, const std::string& file);

}  // namespace rowlock::sqlite
