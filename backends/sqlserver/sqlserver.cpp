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

provider open_leases(std::string_view rest, options opt) { return leases(std::string{rest}, std::move(opt)); }

std::unique_ptr<migration_target> target_of(std::string_view rest, const options& opt) {
    return std::make_unique<sqlserver_target>(std::string{rest}, opt);
}

std::vector<finding> diagnose(std::string_view, const options&) {
    throw unsupported{"this back end cannot be examined yet", {.backend = std::string{applock_backend::name}}};
}

}  // namespace

const detail::backend_entry applock_entry{"sqlserver+applock:", "sqlserver+applock:DRIVER={FreeTDS};SERVER=...",
                                          &open_applock, &target_of, &diagnose};
const detail::backend_entry lease_entry{"sqlserver+lease:", "sqlserver+lease:DRIVER={FreeTDS};SERVER=...", &open_leases,
                                        &target_of, &diagnose};
const detail::backend_entry default_entry{"sqlserver:", "sqlserver:DRIVER={FreeTDS};SERVER=...", &open_applock,
                                          &target_of, &diagnose};

provider applock(const std::string& connection_string, options opt) {
    detail::check(opt);
    if (opt.fencing)
        throw unsupported{"applocks have no fencing tokens yet", {.backend = std::string{applock_backend::name}}};
    auto b = std::make_unique<applock_backend>(connection_string, deadline::after(opt.operation_timeout));
    return provider{std::move(b), std::move(opt)};
}

provider leases(const std::string& connection_string, options opt) {
    detail::check(opt);
    schema{std::make_unique<sqlserver_target>(connection_string, opt)}.check();
    return provider{std::make_unique<lease_backend>(connection_string, opt.schema), std::move(opt)};
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
