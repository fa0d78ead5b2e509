#include "postgres_entry.hpp"

#include "conninfo.hpp"
#include "session.hpp"

namespace rowlock::postgres {

std::vector<finding> diagnose(std::string_view rest, const options& opt) {
    std::vector<finding> all;
    try {
        const session s{conninfo{conninfo_in_url(rest), opt}, "postgresql", deadline::after(opt.operation_timeout)};
        all.push_back({severity::good, "connection", "PostgreSQL " + std::to_string(s.server_version() / 10000), {}});
    } catch (const error& e) {
        all.push_back({severity::problem, "connection", e.what(), "mend this first, then run doctor again"});
    }
    return all;
}

}  // namespace rowlock::postgres
