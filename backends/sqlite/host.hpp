#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace rowlock::sqlite {

/// The id of the host's current boot, the same in all its containers; random(4).
/// @throws connection_error it cannot be read
[[nodiscard]] std::string boot_id();

/// "NFS", "SMB", ... if files with this `statfs(2)` type may be on another host; empty if they are local.
[[nodiscard]] std::string_view network_file_system(long type) noexcept;

/// The same for the file system of an existing file or directory.
[[nodiscard]] std::string_view network_file_system(const std::filesystem::path& path) noexcept;

}  // namespace rowlock::sqlite
