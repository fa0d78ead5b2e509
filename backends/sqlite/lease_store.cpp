#include "lease_store.hpp"

#include <algorithm>
#include <optional>

namespace rowlock::sqlite {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::system_clock;

// Times: *_us are microseconds of the boot clock, *_ms milliseconds since 1970 by the wall clock.
//
// What runs at every acquisition has no RETURNING: SQLite builds a table in memory for it at each execution, which took
// longer than the rest of the cycle.

constexpr auto boot_sql = "SELECT boot_number FROM rowlock_host WHERE boot_id = ?1";

constexpr auto enter_boot_sql =
    "UPDATE rowlock_host SET boot_id = ?1, boot_number = boot_number + (boot_id <> ?1) RETURNING boot_number";
constexpr auto end_leases_sql = "DELETE FROM rowlock_lease";
constexpr auto end_tickets_sql = "DELETE FROM rowlock_ticket";

// ?1 name
constexpr auto leases_sql =
    "SELECT token, mode, provider, number, arena, slot, incarnation, expires_at_us, since_ms, owner"
    " FROM rowlock_lease WHERE name = ?1";

constexpr auto add_lease_sql =
    "INSERT INTO rowlock_lease (name, token, mode, provider, number, arena, slot, incarnation, expires_at_us, since_ms,"
    " owner) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

// ?1 name, ?2 token
constexpr auto remove_lease_sql = "DELETE FROM rowlock_lease WHERE name = ?1 AND token = ?2";

// ?1 name, ?2 provider, ?3 number
constexpr auto release_sql = "DELETE FROM rowlock_lease WHERE name = ?1 AND provider = ?2 AND number = ?3";

// turn: 0 an upgrade, 1 everybody else
constexpr auto tickets_sql =
    "SELECT position, mode, permits, turn, provider, number, ttl_us, arena, slot, incarnation, since_ms, owner"
    " FROM rowlock_ticket WHERE name = ?1 ORDER BY turn, position";
constexpr auto add_ticket_sql =
    "INSERT INTO rowlock_ticket (name, mode, permits, turn, provider, number, ttl_us, arena, slot, incarnation,"
    " since_ms, owner, position) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,"
    " (SELECT coalesce(max(position), 0) + 1 FROM rowlock_ticket WHERE name = ?1))";

// ?1 name, ?2 turn, ?3 position
constexpr auto remove_ticket_sql = "DELETE FROM rowlock_ticket WHERE name = ?1 AND turn = ?2 AND position = ?3";

// ?1 name, ?2 token, ?3 wall clock
constexpr auto last_token_sql = "SELECT token FROM rowlock_lock WHERE name = ?1";
constexpr auto set_token_sql = "UPDATE rowlock_lock SET token = ?2, granted_at_ms = ?3 WHERE name = ?1";
constexpr auto add_name_sql = "INSERT INTO rowlock_lock (name, token, granted_at_ms) VALUES (?1, ?2, ?3)";
constexpr auto token_floor_sql = "SELECT token_floor FROM rowlock_host";

// ?1 provider, ?2 now, ?3 the new end, ?4 JSON array of numbers: only leases that somebody knows of are renewed. No index
// on the provider: the table has live leases only, and an index would cost each of them.
constexpr auto renew_sql =
    "UPDATE rowlock_lease SET expires_at_us = ?3 WHERE provider = ?1 AND expires_at_us > ?2"
    " AND number IN (SELECT value FROM json_each(?4)) RETURNING number";

// ?1 name, ?2 provider, ?3 number, ?4 now
constexpr auto is_held_sql =
    "SELECT 1 FROM rowlock_lease WHERE name = ?1 AND provider = ?2 AND number = ?3 AND expires_at_us > ?4";
constexpr auto pin_sql =
    "UPDATE rowlock_lease SET expires_at_us = expires_at_us"
    " WHERE name = ?1 AND provider = ?2 AND number = ?3 RETURNING expires_at_us";

constexpr auto record_break_sql =
    "INSERT INTO rowlock_break (name, token, owner, provider, number, reason, broken_by)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
constexpr auto break_of_sql =
    "SELECT 'broken by ' || broken_by || ': ' || reason FROM rowlock_break WHERE provider = ?1 AND number = ?2";

constexpr auto names_sql = "SELECT name FROM rowlock_lease UNION SELECT name FROM rowlock_ticket ORDER BY name";

// ?1 wall clock
constexpr auto raise_floor_sql =
    "UPDATE rowlock_host SET token_floor = max(token_floor, (SELECT coalesce(max(token), 0) FROM rowlock_lock"
    " WHERE granted_at_ms <= ?1 AND name NOT IN (SELECT name FROM rowlock_lease UNION SELECT name FROM rowlock_ticket)))";
constexpr auto purge_sql =
    "DELETE FROM rowlock_lock WHERE granted_at_ms <= ?1"
    " AND name NOT IN (SELECT name FROM rowlock_lease UNION SELECT name FROM rowlock_ticket) RETURNING 1";

std::int64_t turn_of(const lock_request& r) { return r.upgrade ? 0 : 1; }

std::int64_t to_us(boot_clock::time_point t) { return duration_cast<microseconds>(t.time_since_epoch()).count(); }
boot_clock::time_point from_us(std::int64_t us) { return boot_clock::time_point{microseconds{us}}; }
std::int64_t to_ms(system_clock::time_point t) { return duration_cast<milliseconds>(t.time_since_epoch()).count(); }
system_clock::time_point from_ms(std::int64_t ms) { return system_clock::time_point{milliseconds{ms}}; }

// The only column of the only row, if there is one.
std::optional<std::int64_t> number_in(statement::cursor row) {
    return row.next() ? std::optional{row.integer(0)} : std::nullopt;
}

fencing_token to_token(std::int64_t value) { return fencing_token{static_cast<std::uint64_t>(value)}; }

}  // namespace

lease_store::lease_store(SQLite::Database& db)
    : begin_read{db, "BEGIN"},
      begin_write{db, "BEGIN IMMEDIATE"},
      commit{db, "COMMIT"},
      roll_back{db, "ROLLBACK"},
      boot_{db, boot_sql},
      enter_boot_{db, enter_boot_sql},
      end_leases_{db, end_leases_sql},
      end_tickets_{db, end_tickets_sql},
      leases_{db, leases_sql},
      add_lease_{db, add_lease_sql},
      remove_lease_{db, remove_lease_sql},
      release_{db, release_sql},
      tickets_{db, tickets_sql},
      add_ticket_{db, add_ticket_sql},
      remove_ticket_{db, remove_ticket_sql},
      last_token_{db, last_token_sql},
      set_token_{db, set_token_sql},
      add_name_{db, add_name_sql},
      token_floor_{db, token_floor_sql},
      renew_{db, renew_sql},
      is_held_{db, is_held_sql},
      record_break_{db, record_break_sql},
      break_of_{db, break_of_sql},
      names_{db, names_sql},
      raise_floor_{db, raise_floor_sql},
      purge_{db, purge_sql} {}

bool lease_store::knows_boot(const std::string& id) { return boot_.run(id).next(); }

std::int64_t lease_store::enter_boot(const std::string& id) {
    if (auto known = boot_.run(id); known.next()) return known.integer(0);
    end_leases_.run().finish();
    end_tickets_.run().finish();
    auto entered = enter_boot_.run(id);
    entered.next();
    const auto number = entered.integer(0);
    entered.finish();
    return number;
}

std::vector<lease_row> lease_store::leases(const std::string& name) {
    std::vector<lease_row> rows;
    for (auto row = leases_.run(name); row.next();)
        rows.push_back({
            .token = to_token(row.integer(0)),
            .mode = static_cast<lock_mode>(row.integer(1)),
            .id = {static_cast<std::uint64_t>(row.integer(2)), static_cast<std::uint64_t>(row.integer(3))},
            .owner = row.text(9),
            .process = {row.integer(4), row.integer(5), row.integer(6)},
            .expires_at = from_us(row.integer(7)),
            .since = from_ms(row.integer(8)),
        });
    return rows;
}

void lease_store::add_lease(const std::string& name, const lease_row& l) {
    add_lease_
        .run(name, l.token.value(), l.mode, l.id.provider, l.id.number, l.process.arena, l.process.slot,
             l.process.incarnation, to_us(l.expires_at), to_ms(l.since), l.owner)
        .finish();
}

void lease_store::remove_lease(const std::string& name, fencing_token token) {
    remove_lease_.run(name, token.value()).finish();
}

void lease_store::remove_lease(const std::string& name, const request_id& id) {
    release_.run(name, id.provider, id.number).finish();
}

std::vector<ticket_row> lease_store::tickets(const std::string& name) {
    std::vector<ticket_row> rows;
    for (auto row = tickets_.run(name); row.next();)
        rows.push_back({
            .position = row.integer(0),
            .request =
                {
                    .mode = static_cast<lock_mode>(row.integer(1)),
                    .permits = static_cast<std::uint32_t>(row.integer(2)),
                    .id = {static_cast<std::uint64_t>(row.integer(4)), static_cast<std::uint64_t>(row.integer(5))},
                    .owner = row.text(11),
                    .ttl = duration_cast<milliseconds>(microseconds{row.integer(6)}),
                    .queued = true,
                    .upgrade = row.integer(3) == 0,
                },
            .process = {row.integer(7), row.integer(8), row.integer(9)},
            .since = from_ms(row.integer(10)),
        });
    return rows;
}

void lease_store::add_ticket(const lock_request& r, const process_mark& process) {
    add_ticket_
        .run(r.name, r.mode, r.permits, turn_of(r), r.id.provider, r.id.number, microseconds{r.ttl}.count(),
             process.arena, process.slot, process.incarnation, to_ms(system_clock::now()), r.owner)
        .finish();
}

void lease_store::remove_ticket(const std::string& name, const ticket_row& t) {
    remove_ticket_.run(name, turn_of(t.request), t.position).finish();
}

fencing_token lease_store::next_token(const std::string& name, std::int64_t floor) {
    const auto now = to_ms(system_clock::now());
    if (const auto last = number_in(last_token_.run(name))) {
        const auto next = std::max(*last, floor) + 1;
        set_token_.run(name, next, now).finish();
        return to_token(next);
    }
    const auto next = std::max(number_in(token_floor_.run()).value_or(0), floor) + 1;
    add_name_.run(name, next, now).finish();
    return to_token(next);
}

std::unordered_set<std::uint64_t> lease_store::renew(std::span<const lock_request* const> held,
                                                     boot_clock::time_point now, boot_clock::time_point expires_at) {
    std::string numbers = "[";
    for (const auto* r : held) {
        if (numbers.size() > 1) numbers += ',';
        numbers += std::to_string(r->id.number);
    }
    numbers += ']';
    std::unordered_set<std::uint64_t> renewed;
    for (auto row = renew_.run(held.front()->id.provider, to_us(now), to_us(expires_at), numbers); row.next();)
        renewed.insert(static_cast<std::uint64_t>(row.integer(0)));
    return renewed;
}

bool lease_store::is_held(const lock_request& r, boot_clock::time_point now) {
    return is_held_.run(r.name, r.id.provider, r.id.number, to_us(now)).next();
}

bool lease_store::pin(SQLite::Database& db, const lock_request& r) {
    statement pin{db, pin_sql};
    auto pinned = pin.run(r.name, r.id.provider, r.id.number);
    if (!pinned.next()) return false;
    const auto end = from_us(pinned.integer(0));
    pinned.finish();
    return boot_clock::now() < end;  // looked at after the wait for the write lock
}

void lease_store::record_break(const std::string& name, const lease_row& l, const std::string& reason,
                               const std::string& by) {
    record_break_.run(name, l.token.value(), l.owner, l.id.provider, l.id.number, reason, by).finish();
}

std::string lease_store::break_of(const request_id& id) {
    auto row = break_of_.run(id.provider, id.number);
    return row.next() ? row.text(0) : std::string{};
}

std::vector<std::string> lease_store::names_in_use() {
    std::vector<std::string> names;
    for (auto row = names_.run(); row.next();) names.push_back(row.text(0));
    return names;
}

std::size_t lease_store::purge(system_clock::time_point before) {
    raise_floor_.run(to_ms(before)).finish();
    std::size_t count = 0;
    for (auto row = purge_.run(to_ms(before)); row.next();) ++count;
    return count;
}

}  // namespace rowlock::sqlite
