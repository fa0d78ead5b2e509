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
constexpr auto end_all_sql = "DELETE FROM rowlock_lease";

// turn: 0 holds, 1 waits to upgrade what it holds, 2 waits. ?1 name
constexpr auto claims_sql =
    "SELECT turn, position, mode, permits, provider, number, owner, arena, slot, incarnation, since_ms, ttl_us,"
    " expires_at_us FROM rowlock_lease WHERE name = ?1 ORDER BY turn, position";
constexpr auto holders_sql =
    "SELECT turn, position, mode, permits, provider, number, owner, arena, slot, incarnation, since_ms, ttl_us,"
    " expires_at_us FROM rowlock_lease WHERE name = ?1 AND turn = 0";

constexpr auto add_sql =
    "INSERT INTO rowlock_lease (name, turn, mode, permits, provider, number, owner, arena, slot, incarnation, since_ms,"
    " ttl_us, expires_at_us, position) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
constexpr auto add_to_queue_sql =
    "INSERT INTO rowlock_lease (name, turn, mode, permits, provider, number, owner, arena, slot, incarnation, since_ms,"
    " ttl_us, expires_at_us, position) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
    " (SELECT coalesce(max(position), 0) + 1 FROM rowlock_lease WHERE name = ?1 AND turn = ?2))";

// ?1 name, ?2 turn, ?3 position
constexpr auto remove_sql = "DELETE FROM rowlock_lease WHERE name = ?1 AND turn = ?2 AND position = ?3";

// ?1 name, ?2 provider, ?3 number
constexpr auto remove_lease_sql =
    "DELETE FROM rowlock_lease WHERE name = ?1 AND turn = 0 AND provider = ?2 AND number = ?3";

// ?1 name, ?2 token, ?3 wall clock
constexpr auto last_token_sql = "SELECT token FROM rowlock_lock WHERE name = ?1";
constexpr auto set_token_sql = "UPDATE rowlock_lock SET token = ?2, granted_at_ms = ?3 WHERE name = ?1";
constexpr auto add_name_sql = "INSERT INTO rowlock_lock (name, token, granted_at_ms) VALUES (?1, ?2, ?3)";
constexpr auto token_floor_sql = "SELECT token_floor FROM rowlock_host";

// ?1 provider, ?2 now, ?3 the new end, ?4 JSON array of numbers: only leases that somebody knows of are renewed. No
// index on the provider: the table has live leases only, and an index would cost each of them.
constexpr auto renew_sql =
    "UPDATE rowlock_lease SET expires_at_us = ?3 WHERE provider = ?1 AND turn = 0 AND expires_at_us > ?2"
    " AND number IN (SELECT value FROM json_each(?4)) RETURNING number";

// ?1 name, ?2 provider, ?3 number, ?4 now
constexpr auto is_held_sql =
    "SELECT 1 FROM rowlock_lease WHERE name = ?1 AND turn = 0 AND provider = ?2 AND number = ?3 AND expires_at_us > ?4";
constexpr auto pin_sql =
    "UPDATE rowlock_lease SET expires_at_us = expires_at_us"
    " WHERE name = ?1 AND turn = 0 AND provider = ?2 AND number = ?3 RETURNING expires_at_us";

constexpr auto record_break_sql =
    "INSERT INTO rowlock_break (name, token, owner, provider, number, reason, broken_by)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
constexpr auto break_of_sql =
    "SELECT 'broken by ' || broken_by || ': ' || reason FROM rowlock_break WHERE provider = ?1 AND number = ?2";

constexpr auto names_sql = "SELECT DISTINCT name FROM rowlock_lease ORDER BY name";

// ?1 wall clock
constexpr auto raise_floor_sql =
    "UPDATE rowlock_host SET token_floor = max(token_floor, (SELECT coalesce(max(token), 0) FROM rowlock_lock"
    " WHERE granted_at_ms <= ?1 AND name NOT IN (SELECT name FROM rowlock_lease)))";
constexpr auto purge_sql =
    "DELETE FROM rowlock_lock WHERE granted_at_ms <= ?1"
    " AND name NOT IN (SELECT name FROM rowlock_lease) RETURNING 1";

std::int64_t turn_of(const claim& c) {
    if (!c.waits) return 0;
    return c.request.upgrade ? 1 : 2;
}

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
      end_all_{db, end_all_sql},
      claims_{db, claims_sql},
      holders_{db, holders_sql},
      add_{db, add_sql},
      add_to_queue_{db, add_to_queue_sql},
      remove_{db, remove_sql},
      remove_lease_{db, remove_lease_sql},
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
    end_all_.run().finish();
    auto entered = enter_boot_.run(id);
    entered.next();
    const auto number = entered.integer(0);
    entered.finish();
    return number;
}

namespace {

std::vector<claim> read_claims(statement::cursor row) {
    std::vector<claim> all;
    while (row.next()) {
        const auto turn = row.integer(0);
        all.push_back({
            .request =
                {
                    .mode = static_cast<lock_mode>(row.integer(2)),
                    .permits = static_cast<std::uint32_t>(row.integer(3)),
                    .id = {static_cast<std::uint64_t>(row.integer(4)), static_cast<std::uint64_t>(row.integer(5))},
                    .owner = row.text(6),
                    .ttl = duration_cast<milliseconds>(microseconds{row.integer(11)}),
                    .queued = turn != 0,
                    .upgrade = turn == 1,
                },
            .process = {row.integer(7), row.integer(8), row.integer(9)},
            .position = row.integer(1),
            .waits = turn != 0,
            .expires_at = from_us(row.integer(12)),
            .since = from_ms(row.integer(10)),
        });
    }
    return all;
}

// Everything but the position.
template <class... Position>
void insert(statement& into, const std::string& name, const claim& c, const Position&... position) {
    const auto& r = c.request;
    into.run(name, turn_of(c), r.mode, r.permits, r.id.provider, r.id.number, r.owner, c.process.arena, c.process.slot,
             c.process.incarnation, to_ms(c.since), microseconds{r.ttl}.count(), c.waits ? 0 : to_us(c.expires_at),
             position...)
        .finish();
}

}  // namespace

std::vector<claim> lease_store::claims(const std::string& name) { return read_claims(claims_.run(name)); }

std::vector<claim> lease_store::holders(const std::string& name) { return read_claims(holders_.run(name)); }

void lease_store::add(const std::string& name, const claim& c) { insert(add_, name, c, c.position); }

void lease_store::add_to_queue(const std::string& name, const claim& c) { insert(add_to_queue_, name, c); }

void lease_store::remove(const std::string& name, const claim& c) {
    remove_.run(name, turn_of(c), c.position).finish();
}

void lease_store::remove_lease(const std::string& name, const request_id& id) {
    remove_lease_.run(name, id.provider, id.number).finish();
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

void lease_store::record_break(const std::string& name, const claim& c, const std::string& reason,
                               const std::string& by) {
    const auto& r = c.request;
    record_break_.run(name, c.position, r.owner, r.id.provider, r.id.number, reason, by).finish();
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
