#pragma once

#include <cstdint>
#include <string>
#include <thread>

#include "raw_postgres.hpp"

namespace bench {

/// A lock as a program without rowlock would write it: `pg_advisory_lock` over bare libpq. It waits in the server.
class raw_advisory {
public:
    explicit raw_advisory(const std::string& conninfo, std::int64_t key = 4711) : session_{conninfo}, key_{key} {
        session_.prepare("lock", "SELECT pg_advisory_lock($1)");
        session_.prepare("unlock", "SELECT pg_advisory_unlock($1)");
        session_.prepare("select", "SELECT $1::bigint");
    }
    void take() { (void)session_.execute("lock", key_); }
    void give_back() { (void)session_.execute("unlock", key_); }
    void select() { (void)session_.execute("select", key_); }
    raw_postgres& session() { return session_; }

private:
    raw_postgres session_;
    const std::int64_t key_;
};

/// The same on a key of its own.
class raw_free_advisory : public raw_advisory {
public:
    explicit raw_free_advisory(const std::string& conninfo) : raw_advisory{conninfo, next_key()} {}

private:
    static std::int64_t next_key() {
        static std::int64_t key = 5000;
        return ++key;
    }
};

/// A lease as the statements that the library runs for it, taken from what the server saw it run, on bare libpq. No
/// deadline, no owner to tell of a loss, no renewal, no events.
class raw_lease {
public:
    explicit raw_lease(const std::string& conninfo);
    void take() {
        (void)session_.execute("take", name_, provider, ++number_, owner_, ttl_ms, queue_key, bell_key, yes, no);
    }
    void give_back() { (void)session_.execute("release", name_, provider, number_, yes, bell_key); }
    /// The least that tells whether the name is free.
    void look() { (void)session_.execute("look", name_); }

private:
    static constexpr std::int64_t provider = 1, ttl_ms = 30'000, queue_key = 4712, bell_key = 4713, yes = 1, no = 0;

    raw_postgres session_;
    const std::string name_ = "bare";
    const std::string owner_ = "host.example.org:12345:rowlock-bench-postgres";
    std::int64_t number_ = 0;
};

/// A row with a fencing token, which one client at a time changes: an UPDATE that is committed to disk, and one that
/// is not.
class raw_row {
public:
    raw_row(const std::string& conninfo, const std::string& table);
    /// Whether it was free.
    bool take();
    void give_back() { (void)session_.execute("free"); }
    raw_postgres& session() { return session_; }

private:
    raw_postgres session_;
};

/// Queues at an advisory lock, then writes the row.
class raw_queued_lease {
public:
    explicit raw_queued_lease(const std::string& conninfo) : row_{conninfo, "bench_queued"} {
        row_.session().prepare("lock", "SELECT pg_advisory_lock(4714)");
        row_.session().prepare("unlock", "SELECT pg_advisory_unlock(4714)");
    }
    void take() {
        (void)row_.session().execute("lock");
        (void)row_.take();
    }
    void give_back() {
        row_.give_back();
        (void)row_.session().execute("unlock");
    }

private:
    raw_row row_;
};

/// Asks for the row again every millisecond.
class raw_polled_lease {
public:
    explicit raw_polled_lease(const std::string& conninfo) : row_{conninfo, "bench_polled"} {}
    void take() {
        while (!row_.take()) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    void give_back() { row_.give_back(); }

private:
    raw_row row_;
};

}  // namespace bench
