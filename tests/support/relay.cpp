#include "relay.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace rowlock::test {
namespace {

using namespace std::string_view_literals;

// What the server sends last: ReadyForQuery, outside a transaction.
constexpr auto ready = "Z\0\0\0\5I"sv;

void check(bool ok, const char* what) {
    if (!ok) throw std::system_error{errno, std::generic_category(), what};
}

// Of TDS: packets with a head of 8 bytes: type, status (1: the last one of its message), length (two bytes, of both).
// https://learn.microsoft.com/openspecs/windows_protocols/ms-tds/7af53667-1b72-4703-8258-7984e838f746
constexpr std::size_t head = 8;

bool is_tds_question(std::string_view bytes) { return bytes[0] == 1 || bytes[0] == 3; }

// What is in the packets; empty: the message has not come to its end.
std::optional<std::string> whole_tds_message(std::string_view bytes) {
    std::string all;
    bool last = false;
    while (!bytes.empty()) {
        if (bytes.size() < head) return std::nullopt;
        const auto at = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])); };
        const auto length = std::max(at(2) << 8U | at(3), head);
        if (bytes.size() < length) return std::nullopt;
        last = (at(1) & 1U) != 0;
        all += bytes.substr(head, length - head);
        bytes.remove_prefix(length);
    }
    return last ? std::optional{all} : std::nullopt;
}

bool send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const auto n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

}  // namespace

relay::relay(std::string socket) : socket_{std::move(socket)} { start(); }

relay::relay(int port) : server_port_{port} { start(); }

void relay::start() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(listener_ >= 0, "socket");
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    check(bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0, "bind");
    check(listen(listener_, 64) == 0, "listen");
    check(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0, "getsockname");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread{[this] { run(); }};
}

relay::~relay() {
    over_ = true;
    thread_.join();
    ::close(listener_);
}

std::string relay::conninfo() const {
    return "host=127.0.0.1 port=" + std::to_string(port_) + " sslmode=disable gssencmode=disable ";
}

void relay::lose(const std::string& statement, manner how) {
    const std::lock_guard lock{mutex_};
    to_lose_ = '\0' + statement + '\0';
    if (speaks_tds()) {
        to_lose_.clear();
        for (const char c : statement) to_lose_ += {c, '\0'};  // UTF-16, of what is ASCII
    }
    how_ = how;
}

// A Bind message: its type, four bytes of length, an empty portal's name, the statement's name.
std::optional<relay::manner> relay::is_to_be_lost(std::string_view question) {
    const std::lock_guard lock{mutex_};
    if (to_lose_.empty()) return std::nullopt;
    const auto at = question.find(to_lose_);
    if (at == question.npos) return std::nullopt;
    if (!speaks_tds() && (at < 5 || question[at - 5] != 'B')) return std::nullopt;
    to_lose_.clear();
    return how_;
}

// A new connection to the server; -1: there is none.
int relay::connected() const {
    int fd = -1;
    bool ok = false;
    if (server_port_ != 0) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<std::uint16_t>(server_port_));
        fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ok = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    } else {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, socket_.c_str(), sizeof address.sun_path - 1);
        fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ok = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    }
    if (ok) return fd;
    ::close(fd);
    return -1;
}

void relay::accept() {
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    const int server = closed_ ? -1 : connected();
    if (server < 0) {
        ::close(client);
        return;
    }
    pairs_.push_back({client, server, holds_});
    if (holds_) ++held_;
}

bool relay::ask(pair& p, std::string_view question) {
    p.loses = is_to_be_lost(question);
    if (!p.loses || !p.loses->question) return true;
    ++lost_;
    return false;
}

// False: this connection is over.
bool relay::forward(pair& p, bool from_client) {
    std::array<char, 65536> buffer{};
    const auto n = ::recv(from_client ? p.client : p.server, buffer.data(), buffer.size(), 0);
    if (n <= 0) return false;
    const std::string_view bytes{buffer.data(), static_cast<std::size_t>(n)};
    if (from_client && speaks_tds() && (!p.asked.empty() || is_tds_question(bytes))) {
        p.asked += bytes;
        const auto question = whole_tds_message(p.asked);
        return !question || (ask(p, *question) && send_all(p.server, std::exchange(p.asked, {})));
    }
    if (from_client) return (speaks_tds() || ask(p, bytes)) && send_all(p.server, bytes);
    if (!p.loses) return send_all(p.client, bytes);
    p.swallowed += bytes;
    if (!(speaks_tds() ? whole_tds_message(p.swallowed).has_value() : p.swallowed.ends_with(ready))) return true;
    closed_ = closed_ || p.loses->closes;
    ++lost_;
    return false;
}

void relay::run() {
    while (!over_) {
        std::vector<pollfd> all{{listener_, POLLIN, 0}};
        for (const auto& p : pairs_) {
            // Less than nothing is not looked at, not even for its end.
            all.push_back({silent_ || p.held ? -1 : p.client, POLLIN, 0});
            all.push_back({silent_ || p.held ? -1 : p.server, POLLIN, 0});
        }
        (void)::poll(all.data(), all.size(), 5);  // looks at the flags that often
        std::size_t i = 1;
        for (auto p = pairs_.begin(); p != pairs_.end(); i += 2) {
            const bool alive = !closed_ && (all[i].revents == 0 || forward(*p, true)) &&
                               (all[i + 1].revents == 0 || forward(*p, false));
            if (alive) {
                ++p;
                continue;
            }
            ::close(p->client);
            ::close(p->server);
            p = pairs_.erase(p);
        }
        if (all[0].revents != 0) accept();
    }
    for (const auto& p : pairs_) {
        ::close(p.client);
        ::close(p.server);
    }
}

}  // namespace rowlock::test
