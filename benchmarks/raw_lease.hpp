#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "raw_sqlite.hpp"

namespace bench {

/// One acquire and release without contention, as the statements that the SQLite back end runs for it
/// (backends/sqlite/lease_store.cpp), on bare SQLite. No deadline, no owner to tell of a loss, no queue, no events.
class raw_lease {
public:
    raw_lease(raw_database& db, std::string name) : name_{std::move(name)}, db_{db} {}

    void cycle() {
        begin_read_();
        claims_(name_);
        const auto token = last_token_(name_) + 1;
        set_token_(name_, token, milliseconds());
        const auto expires_at_us = milliseconds() * 1000 + 30'000'000;
        add_(name_, 0, 0, 1, provider, ++number_, owner_, 1, 2, 3, milliseconds(), 30'000'000, expires_at_us, token);
        commit_();

        begin_write_();
        release_(name_, provider, number_);
        claims_(name_);
        commit_();
    }

    /// The least that tells whether the name is free.
    void look() { holders_(name_); }

private:
    static constexpr std::int64_t provider = 0x1234'5678'9abc'def0;
    static std::int64_t milliseconds() {
        using namespace std::chrono;
        return duration_cast<std::chrono::milliseconds>(system_clock::now().time_since_epoch()).count();
    }

    const std::string name_;
    const std::string owner_ = "host.example.org:12345:rowlock-bench-handover";
    std::int64_t number_ = 0;
    raw_database& db_;
    raw_statement begin_read_{db_, "BEGIN"};
    raw_statement begin_write_{db_, "BEGIN IMMEDIATE"};
    raw_statement commit_{db_, "COMMIT"};
    raw_statement claims_{
        db_,
        "SELECT turn, position, mode, permits, provider, number, owner, arena, slot, incarnation,"
        " since_ms, ttl_us, expires_at_us FROM rowlock_lease WHERE name = ?1 ORDER BY turn, position"};
    raw_statement holders_{db_,
                           "SELECT turn, position, mode, permits, provider, number, owner, arena, slot, incarnation,"
                           " since_ms, ttl_us, expires_at_us FROM rowlock_lease WHERE name = ?1 AND turn = 0"};
    raw_statement last_token_{db_, "SELECT token FROM rowlock_lock WHERE name = ?1"};
    raw_statement set_token_{db_, "UPDATE rowlock_lock SET token = ?2, granted_at_ms = ?3 WHERE name = ?1"};
    raw_statement add_{db_,
                       "INSERT INTO rowlock_lease (name, turn, mode, permits, provider, number, owner, arena, slot,"
                       " incarnation, since_ms, ttl_us, expires_at_us, position)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"};
    raw_statement release_{db_,
                           "DELETE FROM rowlock_lease WHERE name = ?1 AND turn = 0 AND provider = ?2 AND number = ?3"};
};

}  // namespace bench
