#include "call_state.hpp"

#include <array>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

namespace rowlock::odbc {

call_state::call_state(pid_t thread)
    : file_{open(("/proc/self/task/" + std::to_string(thread) + "/stat").c_str(), O_RDONLY | O_CLOEXEC)} {}

call_state::~call_state() {
    if (file_ >= 0) close(file_);
}

// "1234 (any name) S 1 ...". https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
bool call_state::asleep() const {
    std::array<char, 128> text{};
    const auto size = file_ < 0 ? -1 : pread(file_, text.data(), text.size(), 0);
    if (size <= 0) return true;
    const std::string_view line{text.data(), static_cast<std::size_t>(size)};
    const auto name_ends = line.rfind(')');
    return name_ends == std::string_view::npos || name_ends + 2 >= line.size() || line[name_ends + 2] == 'S';
}

}  // namespace rowlock::odbc
