#include <rowlock/postgres.hpp>

#include <utility>

#include <rowlock/error.hpp>

#include <check_options.hpp>

#include "advisory_backend.hpp"
#include "conninfo.hpp"
#include "lease_backend.hpp"
#include "pooler.hpp"
#include "postgres_entry.hpp"
#include "postgres_schema.hpp"
#include "settings.hpp"

namespace rowlock::postgres {
namespace {

// Else the first lock would say so. Only for transactions that a role or a database has made so; of a standby
// settle_in() has told.
constexpr statement is_read_only{"rowlock_read_only", "SELECT current_setting('transaction_read_only')::boolean"};

provider open_advisory(std::string_view rest, options opt) { return advisory(conninfo_in_url(rest), std::move(opt)); }

provider open_leases(std::string_view rest, options opt) { return leases(conninfo_in_url(rest), std::move(opt)); }

std::unique_ptr<migration_target> target_of(std::string_view rest, const options& opt) {
    return std::make_unique<postgres_target>(conninfo{conninfo_in_url(rest), opt}, opt);
}

}  // namespace

const detail::backend_entry advisory_entry{"postgresql+advisory:", "postgresql+advisory://HOST/DATABASE",
                                           &open_advisory, &target_of, &diagnose_advisory};
const detail::backend_entry lease_entry{"postgresql+lease:", "postgresql+lease://HOST/DATABASE", &open_leases,
                                        &target_of, &diagnose_leases};
const detail::backend_entry default_entry{"postgresql:", "postgresql://HOST/DATABASE", &open_advisory, &target_of,
                                          &diagnose_advisory};
const detail::backend_entry short_entry{"postgres:", "postgres://HOST/DATABASE", &open_advisory, &target_of,
                                        &diagnose_advisory};

provider advisory(const std::string& text, options opt) {
    detail::check(opt);
    const conninfo to{text, opt};
    if (opt.fencing) schema{std::make_unique<postgres_target>(to, opt)}.check();
    auto b = std::make_unique<advisory_backend>(to, opt.fencing, deadline::after(opt.operation_timeout));
    return provider{std::move(b), std::move(opt)};
}

provider leases(const std::string& text, options opt) {
    detail::check(opt);
    const conninfo to{text, opt};
    const auto d = deadline::after(opt.operation_timeout);
    schema{std::make_unique<postgres_target>(to, opt)}.check();
    session first{to, lease_backend::name, d};
    const bool pooled = is_transaction_pooled(first, to, lease_backend::name, d);
    settle_in(first, pooled, d);
    if (first.run(is_read_only, d).truth(0, 0))
        fail(sqlstate::read_only, "leases are written into tables", lease_backend::name, to.schema);
    auto b = std::make_unique<lease_backend>(to, pooled, opt.operation_timeout);
    return provider{std::move(b), std::move(opt)};
}

}  // namespace rowlock::postgres
