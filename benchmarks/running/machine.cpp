#include "machine.hpp"

#include <sched.h>
#include <sys/utsname.h>

#include <charconv>
#include <ctime>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <thread>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <contenders/back_ends.hpp>
#include <rowlock/version.hpp>

namespace bench {
namespace {

// The first line of /proc/cpuinfo that begins with `key`, from its colon on.
std::string processor_info(std::string_view key) {
    std::ifstream info{"/proc/cpuinfo"};
    for (std::string line; std::getline(info, line);)
        if (line.starts_with(key))
            if (const auto colon = line.find(": "); colon != std::string::npos) return line.substr(colon + 2);
    return "";
}

std::size_t cpu_in(std::string_view text) {
    std::size_t n = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc{} || end != text.data() + text.size() || n >= CPU_SETSIZE)
        throw std::invalid_argument{fmt::format("\"{}\" is no CPU", text)};
    return n;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> describe_run(const settings& s) {
    utsname system{};
    uname(&system);
    const bool virtual_machine = processor_info("flags").find("hypervisor") != std::string::npos;
    std::vector<std::pair<std::string, std::string>> about{
        {"date", fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr)))},
        {"machine", fmt::format("{} cores{}, {}, {} {}", std::thread::hardware_concurrency(),
                                virtual_machine ? " VM" : "", processor_info("model name"),
                                static_cast<const char*>(system.sysname), static_cast<const char*>(system.release))},
        {"CPUs used", s.cpus->description()},
        {"library", fmt::format("rowlock {}, compiler {}", ROWLOCK_VERSION, __VERSION__)},
        {"settings", fmt::format("{}; {} clients, hold {} us, think {} us", s.quick ? "quick" : "full", s.clients,
                                 s.hold.count() / 1000, s.think.count() / 1000)}};
#ifndef __OPTIMIZE__
    about.emplace_back("warning", "built without optimization: the figures say nothing about Rowlock");
#endif
    std::string server;
    for (const auto& url : s.urls)
        if (const auto& kind = back_end_of(url); kind.monitor)
            if (const auto text = kind.monitor(rest_of(url))->description(); text != server)
                about.emplace_back("server", server = text);
    return about;
}

std::string load() {
    std::string first;
    std::ifstream{"/proc/loadavg"} >> first;
    return first;
}

void limit_to(const std::string& cpus) {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::istringstream parts{cpus};
    for (std::string part; std::getline(parts, part, ',');) {
        const auto dash = part.find('-');
        const auto first = cpu_in(std::string_view{part}.substr(0, dash));
        const auto last = dash == std::string::npos ? first : cpu_in(std::string_view{part}.substr(dash + 1));
        for (auto i = first; i <= last; ++i) CPU_SET(i, &set);
    }
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        throw std::invalid_argument{fmt::format("this process cannot run on CPUs \"{}\"", cpus)};
}

}  // namespace bench
