#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "back_ends.hpp"
#include "raw_sqlite.hpp"

namespace bench {
namespace {

std::int64_t milliseconds() {
    using namespace std::chrono;
    return duration_cast<std::chrono::milliseconds>(system_clock::now().time_since_epoch()).count();
}

// One acquire and release without contention, as the statements that the back end runs for it
// (backends/sqlite/lease_store.cpp), on bare SQLite. No deadline, no owner to tell of a loss, no queue, no events.
class same_statements final : public client {
public:
    same_statements(const std::string& path, std::string name) : db_{path}, name_{std::move(name)} {
        add_name_(name_, milliseconds());
    }
    void take() override {
        ++number_;
        begin_read_();
        try {
            write();
        } catch (const database_busy&) {  // another writer was faster: as the library does, anew
            roll_back_();
            begin_write_();
            write();
        }
        commit_();
    }
    void give_back() override {
        begin_write_();
        release_(name_, provider, number_);
        claims_(name_);
        commit_();
    }

private:
    void write() {
        claims_(name_);
        const auto token = last_token_(name_) + 1;
        set_token_(name_, token, milliseconds());
        const auto expires_at_us = milliseconds() * 1000 + 30'000'000;
        add_(name_, 0, 0, 1, provider, number_, owner_, 1, 2, 3, milliseconds(), 30'000'000, expires_at_us, token);
    }

    static constexpr std::int64_t provider = 0x1234'5678'9abc'def0;

    raw_database db_;
    const std::string name_;
    const std::string owner_ = "host.example.org:12345:rowlock-bench";
    std::int64_t number_ = 0;
    raw_statement begin_read_{db_, "BEGIN"};
    raw_statement begin_write_{db_, "BEGIN IMMEDIATE"};
    raw_statement commit_{db_, "COMMIT"};
    raw_statement roll_back_{db_, "ROLLBACK"};
    raw_statement add_name_{db_,
                            "INSERT INTO rowlock_lock (name, token, granted_at_ms) VALUES (?1, 1, ?2)"
                            " ON CONFLICT DO NOTHING"};
    raw_statement claims_{
        db_,
        "SELECT turn, position, mode, permits, provider, number, owner, arena, slot, incarnation,"
        " since_ms, ttl_us, expires_at_us FROM rowlock_lease WHERE name = ?1 ORDER BY turn, position"};
    raw_statement last_token_{db_, "SELECT token FROM rowlock_lock WHERE name = ?1"};
    raw_statement set_token_{db_, "UPDATE rowlock_lock SET token = ?2, granted_at_ms = ?3 WHERE name = ?1"};
    raw_statement add_{db_,
                       "INSERT INTO rowlock_lease (name, turn, mode, permits, provider, number, owner, arena, slot,"
                       " incarnation, since_ms, ttl_us, expires_at_us, position)"
                       " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"};
    raw_statement release_{db_,
                           "DELETE FROM rowlock_lease WHERE name = ?1 AND turn = 0 AND provider = ?2 AND number = ?3"};
};

// The least that tells whether the name is free.
class look final : public client {
public:
    look(const std::string& path, std::string name) : db_{path}, name_{std::move(name)} {}
    void take() override { holders_(name_); }
    void give_back() override {}

private:
    raw_database db_;
    const std::string name_;
    raw_statement holders_{db_,
                           "SELECT turn, position, mode, permits, provider, number, owner, arena, slot, incarnation,"
                           " since_ms, ttl_us, expires_at_us FROM rowlock_lease WHERE name = ?1 AND turn = 0"};
};

// A row with a fencing token and an end, which is asked for again every millisecond: what a program would write that
// has nothing to wake it.
class polled_row final : public client {
public:
    polled_row(const std::string& path, std::string name, std::int64_t ttl_ms)
        : db_{path}, name_{std::move(name)}, ttl_ms_{ttl_ms > 0 ? ttl_ms : 30'000} {
        db_.run("CREATE TABLE IF NOT EXISTS bench_row (name TEXT PRIMARY KEY, token INTEGER, expires_at_ms INTEGER)");
        raw_statement{db_, "INSERT INTO bench_row VALUES (?1, 0, 0) ON CONFLICT DO NOTHING"}(name_);
        take_ = std::make_unique<raw_statement>(
            db_,
            "UPDATE bench_row SET token = token + 1, expires_at_ms = ?2 WHERE name = ?1 AND expires_at_ms <= ?3"
            " RETURNING token");
        free_ = std::make_unique<raw_statement>(db_, "UPDATE bench_row SET expires_at_ms = 0 WHERE name = ?1");
    }
    void take() override {
        while ((*take_)(name_, milliseconds() + ttl_ms_, milliseconds()) == 0)
            std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    void give_back() override { (*free_)(name_); }

private:
    raw_database db_;
    const std::string name_;
    const std::int64_t ttl_ms_;
    std::unique_ptr<raw_statement> take_, free_;
};

}  // namespace

std::unique_ptr<client> sqlite_baseline(const std::string& rest, const client_spec& s) {
    if (s.who != side::baseline) return nullptr;
    if (s.contended) return s.what == work::mutex ? std::make_unique<polled_row>(rest, s.lock, s.ttl_ms) : nullptr;
    if (s.what == work::busy) return std::make_unique<look>(rest, s.lock);
    if (s.what == work::mutex || s.what == work::timed)
        return std::make_unique<same_statements>(rest, "bare " + s.lock);
    return nullptr;
}

}  // namespace bench
