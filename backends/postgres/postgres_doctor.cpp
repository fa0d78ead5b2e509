#include <functional>
#include <memory>

#include <rowlock/error.hpp>

#include "doctor_checks.hpp"
#include "pooler.hpp"
#include "postgres_entry.hpp"
#include "postgres_schema.hpp"
#include "settings.hpp"

namespace rowlock::postgres {
namespace {

constexpr auto mend_first = "mend this first, then run doctor again";

finding check_pooler(const examination& e, const conninfo& to, bool& pooled) {
    pooled = is_transaction_pooled(e.s, to, e.s.backend(), e.d);
    if (!pooled) return good("pooler", "none, or one that keeps a session for its client");
    if (e.leases)
        return {severity::advice, "pooler", "gives every transaction another session",
                "leases work, but who waits asks again 20 to 30 times a second, in no order, and others do not see it "
                "wait; connect to PostgreSQL itself, or with pool_mode = session, for queues"};
    return {severity::problem, "pooler", "gives every transaction another session: advisory locks are refused",
            "use postgresql+lease:, or connect to PostgreSQL itself or with pool_mode = session"};
}

// True: the tables are those of this library.
bool check_schema(const examination& e, const conninfo& to, const options& opt, std::vector<finding>& all) {
    schema s{std::make_unique<postgres_target>(to, opt)};
    try {
        s.check();
        all.push_back(good("schema", to.schema + ", " + std::string{s.all().back().name}));
        return true;
    } catch (const schema_error& wrong) {
        const bool needed = e.leases;
        all.push_back({needed ? severity::problem : severity::good, "schema",
                       needed ? wrong.what()
                              : std::string{wrong.what()} + " (needed only to break locks, and for fencing tokens)",
                       needed ? "run: rowlock migrate" : ""});
    }
    return false;
}

std::vector<finding> diagnose(std::string_view rest, const options& opt, bool leases) {
    std::vector<finding> all;
    // The finding is there, whatever becomes of it; false: it cannot go on.
    const auto look = [&](const char* what, const std::function<void()>& f) {
        try {
            f();
            return true;
        } catch (const error& e) {
            all.push_back({severity::problem, what, e.what(), mend_first});
            return false;
        }
    };
    const conninfo to{conninfo_in_url(rest), opt};
    const auto d = deadline::after(opt.operation_timeout);
    std::unique_ptr<session> s;
    if (!look("connection",
              [&] { s = std::make_unique<session>(to, leases ? "postgresql+lease" : "postgresql+advisory", d); }))
        return all;
    s->prepares = false;  // there may be a pooler in between
    const examination e{*s, d, leases};
    const auto run = [&](const char* what, finding (*check)(const examination&)) {
        return look(what, [&] { all.push_back(check(e)); });
    };

    if (!run("connection", &check_version)) return all;
    bool pooled = false;
    if (!look("pooler", [&] { all.push_back(check_pooler(e, to, pooled)); })) return all;
    if (!run("standby", &check_recovery)) return all;
    const bool standby = all.back().level == severity::problem;
    run("read-only", &check_read_only);
    bool migrated = false;
    look("schema", [&] { migrated = check_schema(e, to, opt, all); });
    // What is missing may be the right to look.
    run("privileges", &check_privileges);
    if (migrated) {
        run("tables", &check_persistence);
        run("updates", &check_hot_updates);
    }
    run("durability", &check_durability);
    if (!standby) run("standbys", &check_standbys);
    run("snapshots", &check_snapshots);
    run("lock table", &check_lock_table);
    run("timeouts", &check_timeouts);
    run("isolation", &check_isolation);
    run("plpgsql", &check_language);
    if (!standby && !pooled)
        look("vanished clients", [&] {
            settle_in(*s, false, d);
            all.push_back(check_keepalives(e));
        });
    return all;
}

}  // namespace

std::vector<finding> diagnose_advisory(std::string_view rest, const options& opt) { return diagnose(rest, opt, false); }

std::vector<finding> diagnose_leases(std::string_view rest, const options& opt) { return diagnose(rest, opt, true); }

}  // namespace rowlock::postgres
