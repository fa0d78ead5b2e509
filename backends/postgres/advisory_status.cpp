#include "advisory_status.hpp"

#include <limits>
#include <utility>

#include "lock_key.hpp"

namespace rowlock::postgres {
namespace {

// Since when: pg_locks knows that of waiters only; of a holder, when its session's last statement began is not it. So a
// holder shows when its session began to hold locks at the earliest: its start.
constexpr statement advisory_locks{"rowlock_advisory_locks", R"sql(
SELECT (l.classid::bigint << 32 | l.objid::bigint) AS key, l.mode = 'ExclusiveLock', l.granted,
       coalesce(a.application_name, ''), coalesce(l.waitstart, a.query_start, a.backend_start, clock_timestamp()), l.pid
FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a USING (pid)
WHERE l.locktype = 'advisory' AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY l.granted DESC, l.waitstart NULLS LAST, l.pid)sql"};

// $1 schema
constexpr statement can_read_names{"rowlock_can_read_names", R"sql(
SELECT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = $1::text AND c.relname = 'lock'
                 AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')))sql"};
// $1 prefix
constexpr statement names{"rowlock_names", "SELECT name FROM rowlock.lock WHERE starts_with(name, $1::text)"};

}  // namespace

void advisory_status::know_names_in_tables(session& s, deadline d) {
    if (!s.run(can_read_names, d, s.schema()).truth(0, 0)) return;
    const auto rows = s.run(names, d, prefix_);
    for (int i = 0; i < rows.rows(); ++i) know(rows.bytes(i, 0));
}

void advisory_status::know(std::string_view name) {
    const auto keys = keys_of(name);
    known_.insert({{keys.name, {std::string{name}, part::name}},
                   {keys.sharers, {std::string{name}, part::sharers}},
                   {keys.users, {std::string{name}, part::users}},
                   {keys.queue, {std::string{name}, part::queue}}});
    places_.emplace(keys.place, name);
}

void advisory_status::add_holder(int pid, std::string_view name, holder_status h) {
    ours_.insert(pid);
    holders_[std::string{name}].push_back(std::move(h));
}

void advisory_status::add_waiter(std::string_view name, waiter_status w) {
    waiters_[std::string{name}].push_back(std::move(w));
}

// Empty: it says nothing that another lock does not say, too.
std::optional<advisory_status::meaning> advisory_status::meaning_of(std::int64_t key, bool exclusive,
                                                                    bool granted) const {
    constexpr std::uint64_t most_permits = std::numeric_limits<std::int32_t>::max();
    const auto mode = exclusive ? lock_mode::exclusive : lock_mode::shared;
    if (const auto found = known_.find(key); found != known_.end()) {
        const auto& name = found->second.name;
        switch (found->second.what) {
            case part::name:
                // A permit's holder shares the name, too, and is seen at its permit.
                return exclusive || !granted ? std::optional{meaning{name, mode, !granted}} : std::nullopt;
            case part::sharers:
                return !exclusive && granted ? std::optional{meaning{name, mode, false}} : std::nullopt;
            case part::users:
                return std::nullopt;
            case part::queue:  // the head of the queue holds it, and waits all the same
                return exclusive ? std::optional{meaning{name, lock_mode::permit, true}} : std::nullopt;
        }
    }
    const auto place = places_.upper_bound(key);
    // As far apart as two numbers of 64 bits can be.
    const auto above = [key](std::int64_t first) {
        return static_cast<std::uint64_t>(key) - static_cast<std::uint64_t>(first);
    };
    if (place == places_.begin() || above(std::prev(place)->first) >= most_permits)
        return meaning{"advisory key " + std::to_string(key), mode, !granted};
    // Who waits for a permit is the head of the queue, for a moment.
    return granted ? std::optional{meaning{std::prev(place)->second, lock_mode::permit, false}} : std::nullopt;
}

std::vector<lock_status> advisory_status::read(session& s, deadline d) && {
    std::map<std::string, lock_status> all;
    const auto status_of = [&](const std::string& name) -> lock_status* {
        if (!name.starts_with(prefix_)) return nullptr;
        return &all.try_emplace(name, lock_status{.name = name}).first->second;
    };
    const auto rows = s.run(advisory_locks, d);
    for (int i = 0; i < rows.rows(); ++i) {
        const auto what = meaning_of(rows.integer(i, 0), rows.truth(i, 1), rows.truth(i, 2));
        const auto pid = static_cast<int>(rows.integer(i, 5));
        if (!what || (what->waits ? pid == told_ : ours_.contains(pid))) continue;
        auto* const status = status_of(what->name);
        if (!status) continue;
        if (what->waits)
            status->waiters.push_back({.mode = what->mode, .owner = rows.text(i, 3), .since = rows.time(i, 4)});
        else
            status->holders.push_back({.mode = what->mode,
                                       .owner = rows.text(i, 3),
                                       .token = {},
                                       .since = rows.time(i, 4),
                                       .expires_in = {}});
    }
    for (const auto& [name, holders] : holders_)
        if (auto* const status = status_of(name))
            status->holders.insert(status->holders.end(), holders.begin(), holders.end());
    for (const auto& [name, waiters] : waiters_)
        if (auto* const status = status_of(name))
            status->waiters.insert(status->waiters.end(), waiters.begin(), waiters.end());
    std::vector<lock_status> sorted;
    for (auto& [name, status] : all) sorted.push_back(std::move(status));
    return sorted;
}

}  // namespace rowlock::postgres
