#include <rowlock/sqlserver.hpp>

#include <stdexcept>
#include <utility>

#include <rowlock/error.hpp>

#include <check_options.hpp>

#include "applock_backend.hpp"
#include "fence.hpp"
#include "lease_backend.hpp"
#include "sqlserver_entry.hpp"
#include "sqlserver_schema.hpp"

namespace rowlock::sqlserver {
namespace {

provider open_applock(std::string_view rest, options opt) { return applock(std::string{rest}, std::move(opt)); }

// What the server shows as the session's program, unless the caller has said so; `APP` to FreeTDS and to Microsoft's
// driver, and nothing to psqlODBC. 128 characters is what SQL Server keeps.
std::string with_owner(std::string connection_string, std::string_view owner) {
    std::string upper = ";" + connection_string;
    for (auto& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    if (upper.find(";APP=") != std::string::npos || owner.empty()) return connection_string;
    if (!connection_string.ends_with(';')) connection_string += ';';
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
    if (opt.fencing)
        throw unsupported{"applocks have no fencing tokens yet", {.backend = std::string{applock_backend::name}}};
    auto b = std::make_unique<applock_backend>(with_owner(connection_string, opt.owner), opt.operation_timeout);
    return provider{std::move(b), std::move(opt)};
}

provider leases(const std::string& connection_string, options opt) {
    detail::check(opt);
    schema{std::make_unique<sqlserver_target>(connection_string, opt)}.check();
    auto b = std::make_unique<lease_backend>(with_owner(connection_string, opt.owner), opt.schema);
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
    (void)schema{std::make_unique<sqlserver_target>(theirs, opt)}.migrate();
}

}  // namespace rowlock::sqlserver
