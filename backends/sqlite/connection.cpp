#include "connection.hpp"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include <sqlite3.h>

#include <rowlock/error.hpp>

namespace rowlock::sqlite {

using namespace std::chrono_literals;

connection::connection(std::filesystem::path file) : file_{std::move(file)}, own_{true} { open(); }

connection::connection(SQLite::Database& callers) : file_{callers.getFilename()}, own_{false} { use(callers); }

void connection::use(SQLite::Database& db) {
    // SQLite opens a file that it may not write for reading only, without a word.
    if (sqlite3_db_readonly(db.getHandle(), "main") == 1) fail(SQLITE_READONLY, {}, file_);
    try {
        store_ = std::make_unique<lease_store>(db);
    } catch (const SQLite::Exception& e) {
        fail(e, file_);
    }
    db_ = &db;
}

connection::~connection() = default;

bool connection::in_callers_transaction() const { return !own_ && sqlite3_get_autocommit(db_->getHandle()) == 0; }

void connection::open() {
    try {
        owned_.emplace(file_, SQLite::OPEN_READWRITE | SQLite::OPEN_FULLMUTEX);
        // Commits survive the death of processes with NORMAL; what a power cut may take away is made good by the boot
        // number in every token.
        owned_->exec("PRAGMA synchronous = NORMAL");
    } catch (const SQLite::Exception& e) {
        owned_.reset();
        fail(e, file_);
    }
    use(*owned_);
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

connection::durable_for_now::durable_for_now(SQLite::Database& d)
    : db{d}, before{d.execAndGet("PRAGMA synchronous").getInt()} {
    db.exec("PRAGMA synchronous = FULL");
}

connection::durable_for_now::~durable_for_now() {
    const auto restore = "PRAGMA synchronous = " + std::to_string(before);
    db.tryExec(restore);
}

connection::session::session(connection& c, deadline d) : c_{c}, deadline_{d} {
    if (!c_.gate_.enter(d))
        throw connection_error{"the connection to " + c_.file_ + " was in use by other threads until the time was over",
                               {.backend = "sqlite"}};
    try {
        for (int tries = 0; !c_.db_; ++tries) {
            try {
                c_.open();
            } catch (const busy&) {
                pause(tries);
            }
        }
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
    if (c_.in_callers_transaction())
        throw std::logic_error{"a transaction is open on this SQLite connection: a lock cannot be taken inside it, "
                               "because it would vanish with a rollback; commit or roll back first"};
    (k == kind::write ? store().begin_write : store().begin_read).run().finish();
}

void connection::session::commit() const {
    for (int tries = 0;; ++tries) {
        try {
            return store().commit.run().finish();
        } catch (const busy&) {  // a reader is in the way of a rollback journal; the transaction stays open
            pause(tries);
        }
    }
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
