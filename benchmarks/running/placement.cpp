#include "placement.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include <fmt/format.h>

#include <contenders/back_ends.hpp>

namespace bench {
namespace {

std::vector<int> allowed_cpus(pid_t process) {
    std::vector<int> found;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(process, sizeof set, &set) == 0)
        for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
            if (CPU_ISSET(cpu, &set)) found.push_back(cpu);
    if (found.empty()) throw std::system_error{errno, std::generic_category(), "cannot tell the CPUs"};
    return found;
}

// What two hardware threads of one core have in common.
std::string core_of(int cpu) {
    std::string core;
    for (const auto* part : {"physical_package_id", "core_id"}) {
        std::ifstream in{fmt::format("/sys/devices/system/cpu/cpu{}/topology/{}", cpu, part)};
        std::string number;
        in >> number;
        core += number + "/";
    }
    return core;
}

// Another core, if there is one: two hardware threads of one share what they compute with.
int partner_of(const std::vector<int>& cpus) {
    const auto core = core_of(cpus.front());
    const auto other = std::find_if(cpus.begin(), cpus.end(), [&](int cpu) { return core_of(cpu) != core; });
    return other != cpus.end() ? *other : cpus.back();
}

// Whether the thread was still there.
bool move(pid_t thread, const std::vector<int>& cpus) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int cpu : cpus) CPU_SET(cpu, &set);
    if (sched_setaffinity(thread, sizeof set, &set) == 0) return true;
    if (errno == ESRCH) return false;
    throw std::system_error{errno, std::generic_category(), "cannot choose CPUs"};
}

std::vector<pid_t> numbers_in(const std::filesystem::path& directory) {
    std::vector<pid_t> all;
    std::error_code gone;
    for (const auto& entry : std::filesystem::directory_iterator{directory, gone}) {
        const auto name = entry.path().filename().string();
        if (std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; }))
            all.push_back(std::stoi(name));
    }
    return all;
}

// Threads that start meanwhile inherit either place: it is looked again until none is new.
void move_process(pid_t process, const std::vector<int>& cpus) {
    std::vector<pid_t> moved;
    for (bool again = true; again;) {
        again = false;
        for (const auto thread : numbers_in(fmt::format("/proc/{}/task", process)))
            if (std::find(moved.begin(), moved.end(), thread) == moved.end()) {
                again = move(thread, cpus) || again;
                moved.push_back(thread);
            }
    }
}

pid_t parent_of(pid_t process) {
    std::ifstream in{fmt::format("/proc/{}/stat", process)};
    std::string stat;
    std::getline(in, stat);
    // The name in parentheses may contain anything.
    const auto name_ends = stat.rfind(')');
    return name_ends == std::string::npos ? 0 : std::stoi(stat.substr(std::min(name_ends + 4, stat.size() - 1)));
}

// Servers that serve each client in a process of its own: what they start from now on inherits their place.
void move_tree(pid_t root, const std::vector<int>& cpus) {
    move_process(root, cpus);
    for (const auto process : numbers_in("/proc"))
        if (parent_of(process) == root) move_tree(process, cpus);
}

}  // namespace

std::string_view to_string(placement p) noexcept {
    switch (p) {
        case placement::one_cpu:
            return "one CPU";
        case placement::two_cpus:
            return "two CPUs";
        case placement::clients:
            return "server not pinned";
        case placement::any_cpu:
            return "any CPU";
    }
    return "";
}

placer::placer(placements_wanted wanted, servers started, const servers& named)
    : wanted_{wanted},
      started_{std::move(started)},
      all_{allowed_cpus(0)},
      first_{all_.front()},
      second_{partner_of(all_)} {
    for (const auto& [url, process] : started_) placed_.emplace(url, placed_server{process, all_});
    for (const auto& [url, process] : named) placed_.emplace(url, placed_server{process, allowed_cpus(process)});
}

placer::~placer() {
    try {
        move_process(getpid(), all_);
        for (const auto& [url, server] : placed_) move_tree(server.process, server.before);
    } catch (const std::exception& e) {
        fmt::print(stderr, "{}\n", e.what());
    }
}

std::vector<placement> placer::placements(const std::string& url, bool contended) const {
    if (wanted_ == placements_wanted::any) return {placement::any_cpu};
    if (!back_end_of(url).server) return {contended && both_here() ? placement::two_cpus : placement::one_cpu};
    if (!placed_.contains(url)) return {placement::clients};
    if (!both_here() || wanted_ == placements_wanted::one) return {placement::one_cpu};
    if (wanted_ == placements_wanted::two) return {placement::two_cpus};
    return {placement::one_cpu, placement::two_cpus};
}

void placer::place(placement p, const std::string& url) {
    const bool anywhere = p == placement::any_cpu, server = back_end_of(url).server;
    dealt_ = p == placement::two_cpus && !server;
    move_process(getpid(), anywhere ? all_ : dealt_ ? std::vector{first_, second_} : std::vector{first_});
    if (!server || servers_at_ == p) return;
    for (const auto& [name, s] : placed_)
        move_tree(s.process, anywhere ? s.before : std::vector{p == placement::one_cpu ? first_ : second_});
    servers_at_ = p;
}

std::optional<int> placer::cpu_of(std::size_t client, std::size_t locks) const {
    if (!dealt_) return std::nullopt;
    // Those of one lock are on both, and so are those of all locks.
    return (client % locks + client / locks) % 2 == 0 ? first_ : second_;
}

std::string placer::description() const {
    if (wanted_ == placements_wanted::any) return fmt::format("{} of them, as the scheduler likes", all_.size());
    if (!both_here()) return fmt::format("CPU {} for everything", first_);
    return fmt::format(
        "one: CPU {}; two: CPU {} for clients, CPU {} for servers that were started here, or "
        "whose process was named",
        first_, first_, second_);
}

void stay_on(int cpu) { (void)move(0, {cpu}); }

}  // namespace bench
