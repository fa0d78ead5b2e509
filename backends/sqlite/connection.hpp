#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <SQLiteCpp/Database.h>

#include <rowlock/deadline.hpp>

#include "failure.hpp"
#include "fork_closer.hpp"
#include "gate.hpp"
#include "lease_store.hpp"

namespace rowlock::sqlite {

/// One SQLite connection, the library's own or the caller's, and transactions on it. One transaction at a time.
///
/// SQLite's own busy handler sleeps up to 100 ms at once; here a transaction that finds the database locked is tried
/// again every few hundred microseconds until its deadline, and then throws `connection_error`.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class connection final : public fork_closer {
public:
    /// A connection of the library's own; opened when it is first needed, and again after a fork.
    explicit connection(const std::filesystem::path& file);
    /// The caller's. It must have no transaction open when one of the functions below is called.
    explicit connection(SQLite::Database& callers);
    ~connection();

    [[nodiscard]] const std::string& file() const noexcept { return file_; }
    /// Whether the caller has a transaction open on it.
    [[nodiscard]] bool in_callers_transaction() const;

    /// `body(lease_store&)` in a read transaction. It may write too: if that would have to wait for another writer, it
    /// is rolled back and starts anew as a write transaction.
    template <class Body>
    auto read(deadline d, Body body) {
        const session s{*this, d};
        try {
            return s.transact(kind::read, body);
        } catch (const busy&) {
            return s.write(body);
        }
    }

    /// `body(lease_store&)`, which runs one reading statement, without a transaction around it.
    template <class Body>
    auto peek(deadline d, Body body) {
        const session s{*this, d};
        return s.when_free([&] { return body(s.store()); });
    }

    /// `body(lease_store&)` in a write transaction.
    template <class Body>
    auto write(deadline d, Body body) {
        const session s{*this, d};
        return s.write(body);
    }

    /// Makes the commits inside `body` survive a power cut, whatever the connection's setting.
    template <class Body>
    auto write_durably(deadline d, Body body) {
        const session s{*this, d};
        const durable_for_now durable{s};
        return s.write(body);
    }

private:
    enum class kind : bool { read, write };

    // The connection to oneself, open.
    class session {
    public:
        session(connection& c, deadline d);
        ~session();
        session(const session&) = delete;
        session& operator=(const session&) = delete;

        template <class Body>
        auto transact(kind k, Body& body) const {
            begin(k);
            try {
                if constexpr (std::is_void_v<decltype(body(store()))>) {
                    body(store());
                    commit();
                } else {
                    auto result = body(store());
                    commit();
                    return result;
                }
            } catch (...) {
                roll_back();
                throw;
            }
        }

        template <class Body>
        auto write(Body& body) const {
            return when_free([&] { return transact(kind::write, body); });
        }

        /// `f()`, again and again while it throws `busy`, until the deadline.
        template <class F>
        auto when_free(F f) const {
            for (int tries = 0;; ++tries) {
                try {
                    return f();
                } catch (const busy&) {
                    pause(tries);
                }
            }
        }

        [[nodiscard]] SQLite::Database& database() const { return *c_.db_; }
        [[nodiscard]] lease_store& store() const { return *c_.store_; }

    private:
        void begin(kind k) const;
        void commit() const;
        void roll_back() const noexcept;
        void pause(int tries) const;

        connection& c_;
        const deadline deadline_;
        std::int64_t callers_last_rowid_ = 0;
    };

    // For as long as it lives, every commit of the session survives a power cut.
    class durable_for_now {
    public:
        explicit durable_for_now(const session& s);
        ~durable_for_now();
        durable_for_now(const durable_for_now&) = delete;
        durable_for_now& operator=(const durable_for_now&) = delete;

    private:
        const session& session_;
        int before_ = 0;
    };

    void open();
    void before_fork() override;
    void after_fork() override;

    const std::string file_;
    const bool own_;
    gate gate_;
    std::optional<SQLite::Database> owned_;
    SQLite::Database* db_ = nullptr;      ///< null: not open
    std::unique_ptr<lease_store> store_;  ///< null: not open
    fork_registration registration_{*this};
};

}  // namespace rowlock::sqlite
