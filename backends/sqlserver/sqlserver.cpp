#include <rowlock/sqlserver.hpp>

#include <utility>

#include <rowlock/error.hpp>

#include <check_options.hpp>

#include "applock_backend.hpp"
#include "sqlserver_entry.hpp"

namespace rowlock::sqlserver {
namespace {

provider open_applock(std::string_view rest, options opt) { return applock(std::string{rest}, std::move(opt)); }

std::vector<finding> diagnose(std::string_view, const options&) {
    throw unsupported{"this back end cannot be examined yet", {.backend = std::string{applock_backend::name}}};
}

}  // namespace

const detail::backend_entry applock_entry{"sqlserver+applock:", "sqlserver+applock:DRIVER={FreeTDS};SERVER=...",
                                          &open_applock, nullptr, &diagnose};
const detail::backend_entry default_entry{"sqlserver:", "sqlserver:DRIVER={FreeTDS};SERVER=...", &open_applock, nullptr,
                                          &diagnose};

provider applock(const std::string& connection_string, options opt) {
    detail::check(opt);
    if (opt.fencing)
        throw unsupported{"applocks have no fencing tokens yet", {.backend = std::string{applock_backend::name}}};
    auto b = std::make_unique<applock_backend>(connection_string, opt.operation_timeout);
    return provider{std::move(b), std::move(opt)};
}

}  // namespace rowlock::sqlserver
