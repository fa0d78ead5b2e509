#pragma once

#include <filesystem>
#include <string>

#include <rowlock/options.hpp>

namespace rowlock::cli {

/// Which database the locks are in.
struct database {
    std::string url{};
    /// The user's own database, which is made when it is first used; empty if another one was named.
    std::filesystem::path default_file{};
};

/// `--db` if it was given, else the environment's ROWLOCK_DB, else a SQLite database in the user's state directory
/// (XDG Base Directory Specification: $XDG_STATE_HOME, else ~/.local/state).
/// @throws usage_error there is none of them
[[nodiscard]] database choose_database(const std::string& given);

/// Creates the directory of the default database; nothing for any other.
/// @throws connection_error it cannot be created
void make_room(const database& db);

/// Creates and migrates the default database, so that nothing has to be set up before the first lock. Any other one is
/// left as it is: whose schema changes, and when, is for those to decide who run it.
void prepare(const database& db, const options& opt);

}  // namespace rowlock::cli
