#include "connection.hpp"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include <sqlite3.h>

#include <rowlock/error.hpp>

namespace rowlock::sqlite {

using namespace std::chrono_literals;

connection::connection(const std::filesystem::path& file) : file_{file}, own_{true} {}

connection::connection(SQLite::Database& callers) : file_{callers.getFilename()}, own_{false}, db_{&callers} {}

connection::~connection() = default;

bool connection::in_callers_transaction() const { return !own_ && sqlite3_get_autocommit(db_->getHandle()) == 0; }

void connection::open() {
    try {
        if (own_) {
            db_ = nullptr;
            auto& db = owned_.emplace(file_, SQLite::OPEN_READWRITE | SQLite::OPEN_NOMUTEX);  // the gate is one
            // Commits survive the death of processes with NORMAL; what a power cut may take away is made good by the
            // boot number in every token.
            db.exec("PRAGMA synchronous = NORMAL");
            db_ = &db;
        }
        // SQLite opens a file that it may not write for reading only, without a word.
        if (sqlite3_db_readonly(db_->getHandle(), "main") == 1) fail(SQLITE_READONLY, {}, file_);
        store_ = std::make_unique<lease_store>(*db_);
    } catch (const SQLite::Exception& e) {
        fail(e, file_);
    }
}

void connection::before_fork() {
    (void)gate_.enter(deadline::never());
    if (!own_ || !db_) return;
    store_.reset();
    sqlite3_db_config(db_->getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);  // it is opened again at once
    db_ = nullptr;
    owned_.reset();
}

void connection::after_fork() { gate_.leave(); }

connection::durable_for_now::durable_for_now(const session& s) : session_{s} {
    session_.when_free([&] {
        try {
            before_ = session_.database().execAndGet("PRAGMA synchronous").getInt();
            session_.database().exec("PRAGMA synchronous = FULL");
        } catch (const SQLite::Exception& e) {
            fail(e, session_.database().getFilename());
        }
    });
}

connection::durable_for_now::~durable_for_now() {
    session_.database().tryExec("PRAGMA synchronous = " + std::to_string(before_));
}

connection::session::session(connection& c, deadline d) : c_{c}, deadline_{d} {
    if (!c_.gate_.enter(d))
        throw connection_error{"the connection to " + c_.file_ + " was in use by other threads until the time was over",
                               {.backend = "sqlite"}};
    try {
        if (c_.in_callers_transaction())
            throw std::logic_error{
                "a transaction is open on this SQLite connection: a lock cannot be taken inside it, "
                "because it would vanish with a rollback; commit or roll back first"};
        if (!c_.store_) when_free([&] { c_.open(); });
    } catch (...) {
        c_.gate_.leave();
        throw;
    }
    if (c_.own_) return;
    // Other threads may use the caller's connection: none of their statements may fall into our transaction.
    sqlite3_mutex_enter(sqlite3_db_mutex(c_.db_->getHandle()));
    callers_last_rowid_ = sqlite3_last_insert_rowid(c_.db_->getHandle());
}

connection::session::~session() {
    if (!c_.own_) {
        sqlite3_set_last_insert_rowid(c_.db_->getHandle(), callers_last_rowid_);
        sqlite3_mutex_leave(sqlite3_db_mutex(c_.db_->getHandle()));
    }
    c_.gate_.leave();
}

void connection::session::begin(kind k) const {
    (k == kind::write ? store().begin_write : store().begin_read).run().finish();
}

void connection::session::commit() const {
    // Busy: a reader is in the way of a rollback journal; the transaction stays open.
    when_free([&] { store().commit.run().finish(); });
}

void connection::session::roll_back() const noexcept {
    if (sqlite3_get_autocommit(database().getHandle()) != 0) return;  // SQLite did it already
    try {
        store().roll_back.run().finish();
    } catch (...) {  // nothing more can be done; the next begin says what is wrong
    }
}

void connection::session::pause(int tries) const {
    if (deadline_.expired())
        throw connection_error{"the database " + c_.file_ + " was locked by other transactions until the time was over",
                               {.backend = "sqlite", .native_code = SQLITE_BUSY}};
    thread_local std::minstd_rand random{std::random_device{}()};
    // Most transactions are over in tens of microseconds; the jitter keeps those who collided apart.
    const auto longest = std::min<std::chrono::microseconds>(20us * (1 << std::min(tries, 6)), 1ms);
    std::this_thread::sleep_for(longest / 2 + longest * static_cast<int>(random() % 64) / 128);
}

}  // namespace rowlock::sqlite
