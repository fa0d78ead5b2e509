#include "process_tree.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../unique_fd.hpp"

namespace rowlock::cli {
namespace {

template <class Integer>
Integer number(std::string_view& text) {
    Integer value{};
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return problem == std::errc{} ? value : Integer{};
}

std::vector<process> all_processes() {
    std::vector<process> all;
    const std::unique_ptr<DIR, int (*)(DIR*)> proc{opendir("/proc"), &closedir};
    if (!proc) return all;
    while (const dirent* entry = readdir(proc.get())) {
        pid_t pid = 0;
        const std::string_view name{entry->d_name};
        const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (problem != std::errc{} || end != name.data() + name.size()) continue;
        if (auto p = look_at(pid)) all.push_back(*p);
    }
    return all;
}

}  // namespace

std::optional<process> look_at(pid_t pid) {
    const unique_fd file{::open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC)};
    std::array<char, 1024> buffer{};
    const auto got = file ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
    if (got <= 0) return std::nullopt;
    std::string_view text{buffer.data(), static_cast<std::size_t>(got)};
    // The program's name stands in parentheses and may contain anything, parentheses too.
    const auto behind_name = text.rfind(") ");
    if (behind_name == std::string::npos || text.size() < behind_name + 4) return std::nullopt;
    text.remove_prefix(behind_name + 2);
    process p{.pid = pid, .state = text.front()};
    text.remove_prefix(1);
    p.parent = number<pid_t>(text);
    p.group = number<pid_t>(text);
    // Field 22 is the start time; 6 to 21 stand between.
    for (int field = 6; field <= 21; ++field) (void)number<std::int64_t>(text);
    p.started = number<std::uint64_t>(text);
    return p;
}

std::vector<process> descendants(pid_t ancestor, std::span<const pid_t> except) {
    const auto all = all_processes();
    std::multimap<pid_t, const process*> by_parent;
    for (const auto& p : all) by_parent.emplace(p.parent, &p);

    std::vector<process> found;
    std::vector<pid_t> parents{ancestor};
    while (!parents.empty()) {
        const auto parent = parents.back();
        parents.pop_back();
        for (auto [child, end] = by_parent.equal_range(parent); child != end; ++child) {
            const auto& p = *child->second;
            if (parent == ancestor && std::find(except.begin(), except.end(), p.pid) != except.end()) continue;
            parents.push_back(p.pid);
            if (p.state != 'Z' && p.state != 'X') found.push_back(p);
        }
    }
    return found;
}

std::vector<pid_t> children(pid_t parent) {
    std::vector<pid_t> found;
    for (const auto& p : all_processes())
        if (p.parent == parent) found.push_back(p.pid);
    return found;
}

bool send_signal(const process& p, int number) noexcept {
    // Called through syscall(): glibc has wrappers since 2.36 only.
    const unique_fd pinned{static_cast<int>(syscall(SYS_pidfd_open, p.pid, 0U))};
    if (!pinned && errno != ENOSYS) return false;
    // The descriptor stands for whoever has the number now; from here on that cannot change.
    const auto now = look_at(p.pid);
    if (!now || now->started != p.started) return false;
    // Linux before 5.3, and some sandboxes: a number that is reused within microseconds is the smaller evil.
    if (!pinned) return ::kill(p.pid, number) == 0;
    return syscall(SYS_pidfd_send_signal, pinned.get(), number, nullptr, 0U) == 0;
}

void adopt_orphans() noexcept { (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

}  // namespace rowlock::cli
