#include <rowlock/boot_clock.hpp>

#include <fstream>
#include <string>

#include <time.h>

namespace rowlock {
namespace {

// A line of /proc/self/timens_offsets: "boottime     -3600     0" (clock, seconds, nanoseconds); time_namespaces(7).
boot_clock::duration read_namespace_offset() {
    std::ifstream offsets{"/proc/self/timens_offsets"};
    std::string clock;
    for (std::int64_t seconds = 0, nanoseconds = 0; offsets >> clock >> seconds >> nanoseconds;)
        if (clock == "boottime") return std::chrono::seconds{seconds} + std::chrono::nanoseconds{nanoseconds};
    return {};
}

}  // namespace

boot_clock::duration boot_clock::namespace_offset() noexcept {
    static const duration offset = read_namespace_offset();
    return offset;
}

boot_clock::time_point boot_clock::now() noexcept {
    timespec t{};
    clock_gettime(CLOCK_BOOTTIME, &t);
    return time_point{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec} - namespace_offset()};
}

}  // namespace rowlock
