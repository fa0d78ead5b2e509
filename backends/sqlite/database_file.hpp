#pragma once

#include <filesystem>
#include <string_view>

#include <rowlock/options.hpp>

namespace rowlock::sqlite {

/// The path in a URL's rest or an argument, made absolute and free of symbolic links, so that all processes agree on
/// the files beside it.
/// @throws std::invalid_argument empty, or one of SQLite's names for databases without a file
[[nodiscard]] std::filesystem::path database_path(std::string_view text);

/// @throws connection_error no such directory or file, not a regular file, or a network file system and not allowed
void check_file(const std::filesystem::path& file, const options& opt);

/// @throws connection_error no such directory, or a network file system and not allowed; the file may be missing
void check_directory(const std::filesystem::path& file, const options& opt);

}  // namespace rowlock::sqlite
