#include <rowlock/sqlserver.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <check_options.hpp>

#include "applock_backend.hpp"
#include "fence.hpp"
#include "lease_backend.hpp"
#include "sqlserver_entry.hpp"
#include "sqlserver_schema.hpp"

namespace rowlock::sqlserver {
namespace {

provider open_applock(std::string_view rest, options opt) { return applock(std::string{rest}, std::move(opt)); }

// What follows ";KEYWORD=" in it; empty: nothing does.
std::string_view value_of(std::string_view connection_string, std::string_view keyword) {
    const auto is_same = [](char a, char b) { return (a >= 'a' && a <= 'z' ? a - 'a' + 'A' : a) == b; };
    for (auto rest = connection_string; !rest.empty();) {
        const auto end = std::min(rest.find(';'), rest.size());
        const auto pair = rest.substr(0, end);
        if (pair.size() > keyword.size() && pair[keyword.size()] == '=' &&
            std::equal(keyword.begin(), keyword.end(), pair.begin(), [&](char k, char p) { return is_same(p, k); }))
            return pair.substr(keyword.size() + 1);
        rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    return {};
}

// What the caller has not said. Microsoft's driver would connect an idle session that broke anew, unasked, and the new
// one holds none of the locks: https://learn.microsoft.com/sql/connect/odbc/connection-resiliency
// The owner is what the server shows as the session's program; 128 characters is what it keeps. Other drivers pass over
// keywords that they do not know.
std::string completed(std::string connection_string, std::string_view owner) {
    const auto retries = value_of(connection_string, "CONNECTRETRYCOUNT");
    if (!retries.empty() && retries != "0")
        throw std::invalid_argument{
            "the connection string says ConnectRetryCount=" + std::string{retries} +
            ": then a session that broke is replaced by one without its locks, and nobody is told; leave it out"};
    const bool names_program = !value_of(connection_string, "APP").empty() || owner.empty();
    if (!connection_string.ends_with(';')) connection_string += ';';
    if (retries.empty()) connection_string += "ConnectRetryCount=0;";
    if (names_program) return connection_string;
    connection_string += "APP=";
    for (const char c : owner.substr(0, 128)) connection_string += c == ';' || c == '{' || c == '}' ? '_' : c;
    return connection_string + ';';
}

provider open_leases(std::string_view rest, options opt) { return leases(std::string{rest}, std::move(opt)); }

std::unique_ptr<migration_target> target_of(std::string_view rest, const options& opt) {
    return std::make_unique<sqlserver_target>(std::string{rest}, opt);
}

}  // namespace

const detail::backend_entry applock_entry{"sqlserver+applock:", "sqlserver+applock:DRIVER={FreeTDS};SERVER=...",
                                          &open_applock, &target_of, &diagnose_applocks};
const detail::backend_entry lease_entry{"sqlserver+lease:", "sqlserver+lease:DRIVER={FreeTDS};SERVER=...", &open_leases,
                                        &target_of, &diagnose_leases};
const detail::backend_entry default_entry{"sqlserver:", "sqlserver:DRIVER={FreeTDS};SERVER=...", &open_applock,
                                          &target_of, &diagnose_applocks};

provider applock(const std::string& connection_string, options opt) {
    detail::check(opt);
    if (opt.fencing) schema{std::make_unique<sqlserver_target>(connection_string, opt)}.check();
    auto b = std::make_unique<applock_backend>(completed(connection_string, opt.owner), opt);
    return provider{std::move(b), std::move(opt)};
}

provider leases(const std::string& connection_string, options opt) {
    detail::check(opt);
    schema{std::make_unique<sqlserver_target>(connection_string, opt)}.check();
    auto b = std::make_unique<lease_backend>(completed(connection_string, opt.owner), opt);
    return provider{std::move(b), std::move(opt)};
}

void fence(SQLHDBC conn, const lock_handle& held) {
    if (!conn) throw std::invalid_argument{"no connection to fence on"};
    odbc::connection theirs{conn, "SQL Server", lease_store::name};
    pin(theirs, held);
}

void migrate(const std::string& connection_string, const options& opt) {
    detail::check(opt);
    (void)schema{std::make_unique<sqlserver_target>(connection_string, opt)}.migrate();
}

void migrate(SQLHDBC conn, const options& opt) {
    detail::check(opt);
    if (!conn) throw std::invalid_argument{"no connection to migrate on"};
    odbc::connection theirs{conn, "SQL Server", "sqlserver"};
    auto target = std::make_unique<sqlserver_target>(theirs, opt);
    target->check_no_transaction();
    (void)schema{std::move(target)}.migrate();
}

}  // namespace rowlock::sqlserver
