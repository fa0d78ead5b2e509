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

std::vector<lock_status> advisory_status::read(session& s, deadline d) && {
    constexpr std::int64_t most_permits = std::numeric_limits<std::int32_t>::max();
    std::map<std::string, lock_status> all;
    const auto rows = s.run(advisory_locks, d);
    for (int i = 0; i < rows.rows(); ++i) {
        const auto key = rows.integer(i, 0);
        const bool exclusive = rows.truth(i, 1), granted = rows.truth(i, 2);
        const auto pid = static_cast<int>(rows.integer(i, 5));
        std::string name = "advisory key " + std::to_string(key);
        auto mode = exclusive ? lock_mode::exclusive : lock_mode::shared;
        bool waits = !granted;
        const auto found = known_.find(key);
        const auto place = places_.upper_bound(key);
        if (found != known_.end()) {
            name = found->second.name;
            switch (found->second.what) {
                case part::name:
                    // A permit's holder shares the name, too, and is seen at its permit.
                    if (!exclusive && granted) continue;
                    break;
                case part::sharers:
                    if (exclusive || !granted) continue;
                    break;
                case part::users:
                    continue;
                case part::queue:  // the head of the queue holds it, and waits all the same
                    mode = lock_mode::permit;
                    waits = true;
                    if (!exclusive) continue;
            }
        } else if (place != places_.begin() && key - std::prev(place)->first < most_permits) {
            name = std::prev(place)->second;
            mode = lock_mode::permit;
            if (!granted) continue;  // the head of the queue, for a moment
        }
        if (!name.starts_with(prefix_)) continue;
        if (waits ? pid == told_ : ours_.contains(pid)) continue;
        auto& status = all.try_emplace(name, lock_status{.name = name}).first->second;
        if (waits)
            status.waiters.push_back({.mode = mode, .owner = rows.text(i, 3), .since = rows.time(i, 4)});
        else
            status.holders.push_back(
                {.mode = mode, .owner = rows.text(i, 3), .token = {}, .since = rows.time(i, 4), .expires_in = {}});
    }
    for (auto& [name, holders] : holders_) {
        if (!name.starts_with(prefix_)) continue;
        auto& status = all.try_emplace(name, lock_status{.name = name}).first->second;
        status.holders.insert(status.holders.end(), holders.begin(), holders.end());
    }
    for (auto& [name, waiters] : waiters_) {
        if (!name.starts_with(prefix_)) continue;
        auto& status = all.try_emplace(name, lock_status{.name = name}).first->second;
        status.waiters.insert(status.waiters.end(), waiters.begin(), waiters.end());
    }
    std::vector<lock_status> sorted;
    for (auto& [name, status] : all) sorted.push_back(std::move(status));
    return sorted;
}

}  // namespace rowlock::postgres
