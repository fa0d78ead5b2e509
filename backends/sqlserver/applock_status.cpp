#include "applock_status.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <optional>
#include <utility>

#include <unistd.h>

#include <rowlock/error.hpp>

#include <no_answer.hpp>

#include "resource_name.hpp"

namespace rowlock::sqlserver {
namespace {

// The process that asks; its host is the one that the driver told the server. Containers may share both.
constexpr auto all_applocks =
    "SELECT l.resource_description, l.request_mode, l.request_status, s.program_name, s.host_name, s.host_process_id, "
    "s.login_time, CURRENT_TIMESTAMP, CASE WHEN s.host_process_id = ? AND s.host_name = HOST_NAME() THEN 1 ELSE 0 END "
    "FROM sys.dm_tran_locks AS l JOIN sys.dm_exec_sessions AS s ON s.session_id = l.request_session_id "
    "WHERE l.resource_type = 'APPLICATION' AND l.resource_database_id = DB_ID() "
    "ORDER BY s.login_time, l.request_session_id";

constexpr std::size_t whole = 31;  // characters of which nothing can be missing

std::size_t characters(std::string_view utf8) {
    std::size_t n = 0;
    for (const char c : utf8) n += (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
    return n;
}

// "0:[nightly]:(5d9b0a43)": the principal, the first 32 characters, a hash. Empty: it is none of a name.
std::string name_in(std::string_view description) {
    const auto from = description.find('['), to = description.rfind("]:(");
    if (from == std::string_view::npos || to == std::string_view::npos || to <= from) return {};
    const auto text = description.substr(from + 1, to - from - 1);
    if (text.starts_with("rowlock:")) return {};
    return characters(text) <= whole ? std::string{text} : std::string{text} + "...";
}

// What is shown of a name by the server.
std::string as_described(const std::string& name) {
    const auto resource = resource_of(name);
    if (resource != name || characters(name) <= whole) return name;
    std::size_t n = 0, end = 0;
    for (; end < name.size(); ++end)
        if ((static_cast<unsigned char>(name[end]) & 0xC0U) != 0x80U && n++ == whole + 1) break;
    return name.substr(0, end) + "...";
}

std::optional<lock_mode> mode_in(std::string_view request_mode) {
    if (request_mode == "X") return lock_mode::exclusive;
    if (request_mode == "S") return lock_mode::shared;
    if (request_mode == "U") return lock_mode::upgrade;
    if (request_mode == "IX") return lock_mode::permit;
    return std::nullopt;
}

// As ODBC writes a time, in whatever zone: it is compared with another one of the same server.
std::chrono::seconds seconds_in(const char* text) {
    std::tm t{};
    // NOLINTNEXTLINE(cert-err34-c): what is not there stays 0
    if (std::sscanf(text, "%d-%d-%d %d:%d:%d", &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec) < 6)
        return {};
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    return std::chrono::seconds{timegm(&t)};
}

}  // namespace

// In the database an upgrade lock that has become exclusive is held in both modes.
template <class Who>
bool applock_status::is_known(const std::string& described, lock_mode m, std::vector<Who> lock_status::*who) const {
    return std::any_of(all_.begin(), all_.end(), [&](const auto& known) {
        const auto& those = known.second.*who;
        return as_described(known.first) == described && std::any_of(those.begin(), those.end(), [&](const auto& w) {
                   return w.mode == m || (m == lock_mode::upgrade && w.mode == lock_mode::exclusive);
               });
    });
}

void applock_status::add_holder(const std::string& name, holder_status h) {
    if (name.starts_with(prefix_))
        all_.try_emplace(name, lock_status{.name = name}).first->second.holders.push_back(std::move(h));
}

void applock_status::add_waiter(const std::string& name, waiter_status w) {
    if (name.starts_with(prefix_))
        all_.try_emplace(name, lock_status{.name = name}).first->second.waiters.push_back(std::move(w));
}

bool applock_status::add_others(applock_session& s, deadline d) {
    std::array<char, 256> description{}, mode{}, status{}, program{}, host{}, pid{}, login{}, now{}, like_ours{};
    SQLINTEGER own_pid = getpid();
    applock_status others{prefix_};
    try {
        s.ask_for(all_applocks, d, [&](odbc::statement& q) {
            q.parameter(own_pid).column(description).column(mode).column(status).column(program).column(host);
            q.column(pid).column(login).column(now).column(like_ours).each_row([&] {
                const auto name = name_in(description.data());
                const auto m = mode_in(mode.data());
                if (name.empty() || !m) return;
                const bool holds = std::string_view{status.data()} == "GRANT";
                if (like_ours[0] == '1' &&
                    (holds ? is_known(name, *m, &lock_status::holders) : is_known(name, *m, &lock_status::waiters)))
                    return;
                // Ours say it themselves, unless they were told to say something else.
                std::string owner{program.data()};
                if (!owner.starts_with(host.data())) owner = std::string{host.data()} + ":" + pid.data() + ":" + owner;
                const auto since =
                    std::chrono::system_clock::now() - (seconds_in(now.data()) - seconds_in(login.data()));
                if (holds)
                    others.add_holder(name,
                                      {.mode = *m, .owner = owner, .token = {}, .since = since, .expires_in = {}});
                else
                    others.add_waiter(name, {.mode = *m, .owner = owner, .since = since});
            });
        });
    } catch (const detail::no_answer&) {
        throw;
    } catch (const error&) {  // there is no such view, or it is not for us
        return false;
    }
    for (auto& [name, found] : others.all_) {
        for (auto& h : found.holders) add_holder(name, std::move(h));
        for (auto& w : found.waiters) add_waiter(name, std::move(w));
    }
    return true;
}

std::vector<lock_status> applock_status::sorted() && {
    std::vector<lock_status> list;
    for (auto& [name, s] : all_) list.push_back(std::move(s));
    return list;
}

}  // namespace rowlock::sqlserver
