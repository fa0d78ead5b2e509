#include "registry.hpp"

#include <array>
#include <stdexcept>
#include <string>

#include <memory_entry.hpp>
#ifdef ROWLOCK_HAVE_SQLITE
#include <sqlite_entry.hpp>
#endif
#ifdef ROWLOCK_HAVE_POSTGRES
#include <postgres_entry.hpp>
#endif
#ifdef ROWLOCK_HAVE_SQLSERVER
#include <sqlserver_entry.hpp>
#endif

#include "check_options.hpp"

namespace rowlock {
namespace {

const std::array entries{
    &memory::entry,
#ifdef ROWLOCK_HAVE_SQLITE
    &sqlite::entry,
#endif
#ifdef ROWLOCK_HAVE_POSTGRES
    &postgres::advisory_entry,
    &postgres::lease_entry,
    &postgres::default_entry,
    &postgres::short_entry,
#endif
#ifdef ROWLOCK_HAVE_SQLSERVER
    &sqlserver::applock_entry,
    &sqlserver::lease_entry,
    &sqlserver::default_entry,
#endif
};

struct no_schema final : migration_target {
    std::span<const migration> available() const override { return {}; }
    std::vector<applied_migration> applied() override { return {}; }
    void exclusively(const std::function<void()>& change) override { change(); }
    void apply(const migration&) override {}
};

struct match {
    const detail::backend_entry& entry;
    std::string_view rest;
};

match find(std::string_view url) {
    std::string known;
    for (const auto* e : entries) {
        if (url.starts_with(e->scheme)) return {*e, url.substr(e->scheme.size())};
        known += known.empty() ? "" : ", ";
        known += e->usage;
    }
    throw std::invalid_argument{"\"" + std::string{url} + "\" is no database URL that this build knows; it knows " +
                                known};
}

}  // namespace

provider open(std::string_view url, options opt) {
    const auto [entry, rest] = find(url);
    detail::check(opt);  // before anything is opened
    return entry.open(rest, std::move(opt));
}

schema open_schema(std::string_view url, const options& opt) {
    const auto [entry, rest] = find(url);
    detail::check(opt);
    return schema{entry.target ? entry.target(rest, opt) : std::make_unique<no_schema>()};
}

std::vector<finding> diagnose(std::string_view url, const options& opt) {
    const auto [entry, rest] = find(url);
    detail::check(opt);
    return entry.diagnose(rest, opt);
}

std::vector<std::string> registered_backends() {
    std::vector<std::string> usages;
    for (const auto* e : entries) usages.emplace_back(e->usage);
    return usages;
}

}  // namespace rowlock
