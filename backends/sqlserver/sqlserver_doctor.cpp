#include <array>
#include <functional>
#include <memory>
#include <random>
#include <string>

#include <rowlock/error.hpp>

#include "applock_backend.hpp"
#include "applock_status.hpp"
#include "opening.hpp"
#include "sqlserver_entry.hpp"
#include "sqlserver_schema.hpp"

namespace rowlock::sqlserver {
namespace {

constexpr auto mend_first = "mend this first, then run doctor again";
constexpr auto ask_version = "SELECT @@VERSION";
// 2: forced
constexpr auto ask_durability = "SELECT delayed_durability FROM sys.databases WHERE database_id = DB_ID()";

finding good(std::string what, std::string found) { return {severity::good, std::move(what), std::move(found), {}}; }

std::string first_line(std::string_view text) { return std::string{text.substr(0, text.find_first_of("\r\n"))}; }

// Not every server that answers the calls knows the variable.
std::string version_of(applock_session& s, deadline d) {
    std::array<char, 512> text{};
    try {
        s.ask_for(ask_version, d, [&](odbc::statement& q) { q.column(text); });
    } catch (const error&) {
        if (!s.usable()) throw;
    }
    return first_line(text.data());
}

finding check_server(const std::string& version) {
    if (version.empty())
        return {severity::advice, "server", "does not tell its version: is it SQL Server?", "see docs/testing.md"};
    if (!version.starts_with("Babelfish")) return good("server", version);
    return {severity::advice, "server", version,
            "know what this one has been seen to do (4.3): applocks are shared by all its databases; a session ends at "
            "its fourth try for a busy one; cancellations are heard when the wait is over: try before you rely on it"};
}

finding check_applocks(applock_session& s, const std::string& name, deadline d) {
    if (!s.try_get(name, applock_mode::exclusive, d))
        return {severity::problem, "applocks", "a name that nobody can have is busy", mend_first};
    const auto mode = std::string{s.mode_of(name, d)};
    if (mode == applock_mode::exclusive) return good("applocks", "can be taken, and APPLOCK_MODE tells");
    return {severity::problem, "applocks", "APPLOCK_MODE does not tell of a lock that was just taken: \"" + mode + "\"",
            "use a server that has it: whether a wait that was ended was granted all the same cannot be told without"};
}

// Closed with a lock in it, and opened again: in the same session?
finding check_pooling(applock_session& again, const std::string& name, deadline d) {
    if (again.mode_of(name, d).empty()) return good("pooling", "a connection that is closed ends its session");
    again.release(name, d);
    return {severity::problem, "pooling", "the driver manager keeps connections that are closed, and the locks in them",
            "set Pooling = No in the section [ODBC] of odbcinst.ini"};
}

finding check_status(applock_session& s, deadline d) {
    applock_status status{{}};
    if (status.add_others(s, d)) return good("status", "shows who holds and who waits");
    return {severity::advice, "status", "this login cannot see who holds applocks, or the server does not tell",
            "GRANT VIEW SERVER STATE to it, where there is sys.dm_tran_locks"};
}

finding check_durability(applock_session& s, deadline d) {
    std::array<char, 16> delayed{};
    s.ask_for(ask_durability, d, [&](odbc::statement& q) { q.column(delayed); });
    if (delayed[0] != '2') return good("durability", "a grant is on disk before it is told");
    return {severity::problem, "durability",
            "DELAYED_DURABILITY is FORCED: a crash takes grants back, and their tokens are given out again",
            "ALTER DATABASE CURRENT SET DELAYED_DURABILITY = ALLOWED, or lock in another database"};
}

finding check_tables(std::string_view rest, const options& opt) {
    schema{std::make_unique<sqlserver_target>(std::string{rest}, opt)}.check();
    return good("tables", "are there, and as this version has them");
}

std::vector<finding> diagnose(std::string_view rest, const options& opt, bool with_tables) {
    std::vector<finding> all;
    const auto look = [&](const char* what, const std::function<finding()>& f) {
        try {
            all.push_back(f());
            return true;
        } catch (const error& e) {
            all.push_back({severity::problem, what, e.what(), mend_first});
            return false;
        }
    };
    const auto d = deadline::after(opt.operation_timeout);
    const auto name = "rowlock doctor " + std::to_string(std::random_device{}());
    std::shared_ptr<detail::pooled<lease_session>> m;
    auto connect = [&, of = std::shared_ptr<client>{}]() mutable {
        if (!of) of = std::make_shared<client>(applock_backend::name);
        m.reset();
        const auto get_ready = [t = opt.operation_timeout](lease_session& s, deadline) { s.driver_timeout(t); };
        m = open_session(0, {of, std::string{rest}, applock_backend::name, "", get_ready}, {.until = d});
    };
    if (!look("connection", [&] {
            connect();
            return good("connection", "through " + m->s.driver());
        }))
        return all;
    look("server", [&] { return check_server(version_of(m->s, d)); });
    if (!look("applocks", [&] { return check_applocks(m->s, name, d); })) return all;
    if (!look("pooling", [&] {
            connect();
            return check_pooling(m->s, name, d);
        }))
        return all;
    look("status", [&] { return check_status(m->s, d); });
    if (!with_tables) return all;
    look("durability", [&] { return check_durability(m->s, d); });
    look("tables", [&] { return check_tables(rest, opt); });
    return all;
}

}  // namespace

std::vector<finding> diagnose_applocks(std::string_view rest, const options& opt) {
    return diagnose(rest, opt, opt.fencing);
}
std::vector<finding> diagnose_leases(std::string_view rest, const options& opt) { return diagnose(rest, opt, true); }

}  // namespace rowlock::sqlserver
