#include "host.hpp"

#include <array>
#include <fstream>

#include <sys/vfs.h>

#include <rowlock/error.hpp>

namespace rowlock::sqlite {
namespace {

// statfs(2) and linux/magic.h. FUSE stands for sshfs, virtiofs and others that cannot be told apart from local ones.
struct file_system_type {
    unsigned long magic;
    std::string_view name;
};
constexpr std::array<file_system_type, 15> network_types{{
    {0x6969, "NFS"},
    {0xFF534D42, "CIFS"},
    {0xFE534D42, "SMB2"},
    {0x517B, "SMB"},
    {0x65735546, "FUSE"},
    {0x01021997, "9P"},
    {0x00C36400, "Ceph"},
    {0x5346414F, "AFS"},
    {0x6B414653, "AFS"},
    {0x73757245, "Coda"},
    {0x564C, "NCP"},
    {0x01161970, "GFS2"},
    {0x7461636F, "OCFS2"},
    {0x0BD00BD0, "Lustre"},
    {0x47504653, "GPFS"},
}};

}  // namespace

std::string boot_id() {
    std::ifstream file{"/proc/sys/kernel/random/boot_id"};
    std::string id;
    if (!(file >> id) || id.empty())
        throw connection_error{
            "cannot read /proc/sys/kernel/random/boot_id, without which a reboot cannot be told; "
            "mount /proc",
            {.backend = "sqlite"}};
    return id;
}

std::string_view network_file_system(long type) noexcept {
    for (const auto& t : network_types)
        if (t.magic == (static_cast<unsigned long>(type) & 0xFFFFFFFFUL)) return t.name;
    return {};
}

std::string_view network_file_system(const std::filesystem::path& path) noexcept {
    struct statfs found {};
    return statfs(path.c_str(), &found) == 0 ? network_file_system(static_cast<long>(found.f_type))
                                             : std::string_view{};
}

}  // namespace rowlock::sqlite
