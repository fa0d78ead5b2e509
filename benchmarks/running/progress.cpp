#include "progress.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <stdexcept>

#include <fmt/format.h>

namespace bench {
namespace {

std::atomic<bool> interrupted{false};

}  // namespace

void progress::interrupt(int) { interrupted = true; }

progress::progress() : on_terminal_{isatty(STDERR_FILENO) != 0} {
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) (void)std::signal(number, interrupt);
}

progress::~progress() { clear(); }

void progress::show(const std::string& what, std::size_t done, std::size_t all) {
    using namespace std::chrono_literals;
    if (interrupted) throw std::runtime_error{"interrupted"};
    const auto now = std::chrono::steady_clock::now();
    if (!on_terminal_ || (done < all && now - last_ < 100ms)) return;
    last_ = now;
    constexpr std::size_t width = 30;
    const auto filled = all == 0 ? width : std::min(width, done * width / all);
    fmt::print(stderr, "\r\033[K{:4d} s [{}{}] {}", (now - began_) / 1s, std::string(filled, '#'),
               std::string(width - filled, '.'), what.substr(0, 80));
    std::fflush(stderr);
    visible_ = true;
}

void progress::clear() {
    if (!visible_) return;
    fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
    visible_ = false;
}

}  // namespace bench
