#include <dlfcn.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <rowlock/rowlock.hpp>
#include <rowlock/sqlserver.hpp>

#include "back_ends.hpp"
#include "raw_odbc.hpp"

namespace bench {
namespace {

// What anybody in this process has prepared while somebody listens. SQL Server shows statements only to those who may
// see the state of the server, and others that speak TDS do not at all; the driver is given them by everybody.
class preparations {
public:
    void listen() {
        const std::lock_guard lock{guard_};
        listening_ = true;
    }
    std::vector<std::string> stop() {
        const std::lock_guard lock{guard_};
        listening_ = false;
        return std::exchange(heard_, {});
    }
    void hear(std::string_view sql) {
        const std::lock_guard lock{guard_};
        if (listening_) heard_.emplace_back(sql);
    }

private:
    std::mutex guard_;
    bool listening_ = false;
    std::vector<std::string> heard_;
};
preparations& prepared() {
    static preparations all;
    return all;
}

}  // namespace
}  // namespace bench

// A program's own SQLPrepare goes before that of the driver manager, also for the library.
extern "C" SQLRETURN SQL_API SQLPrepare(SQLHSTMT handle, SQLCHAR* sql, SQLINTEGER length) {
    using function = SQLRETURN(SQLHSTMT, SQLCHAR*, SQLINTEGER);
    static auto* const real = reinterpret_cast<function*>(dlsym(RTLD_NEXT, "SQLPrepare"));
    const auto* const text = reinterpret_cast<const char*>(sql);
    bench::prepared().hear(length == SQL_NTS ? std::string_view{text}
                                             : std::string_view{text, static_cast<std::size_t>(length)});
    return real(handle, sql, length);
}

namespace bench {
namespace {

// What the library binds (backends/odbc/batch.cpp).
constexpr SQLULEN longest_text = 4000, longest_bytes = 8000;

// What the library sets for a session of its own (backends/sqlserver/lease_session.cpp).
constexpr auto settings_sql =
    "SET XACT_ABORT ON; SET NOCOUNT ON; SET IMPLICIT_TRANSACTIONS OFF; SET TRANSACTION ISOLATION LEVEL READ COMMITTED";

struct lease_statements {
    std::string take{}, release{};
};

// The one of `all` that has all these parts.
std::string only(const std::vector<std::string>& all, const std::vector<std::string_view>& parts) {
    for (const auto& sql : all) {
        bool found = true;
        for (const auto part : parts) found = found && sql.find(part) != std::string::npos;
        if (found) return sql;
    }
    throw std::runtime_error{"the driver was not given the statements of a lease"};
}

// They are the same for all clients, so the first one listens.
const lease_statements& statements_of(const std::string& connection_string) {
    static std::mutex guard;
    static std::map<std::string, lease_statements> known;
    const std::lock_guard lock{guard};
    auto at = known.find(connection_string);
    if (at != known.end()) return at->second;
    prepared().listen();
    rowlock::mutex{rowlock::sqlserver::leases(connection_string), "rowlock-bench"}.acquire().release();
    const auto heard = prepared().stop();
    return known
        .emplace(
            connection_string,
            lease_statements{.take = only(heard, {"@head int", "number = @number, owner = @owner"}),
                             .release = only(heard, {"SET expires_at = '0001-01-01'", "@ring", "sp_releaseapplock"})})
        .first->second;
}

// A lease as those statements on bare ODBC. No deadline, no owner to tell of a loss, no renewal, no events.
class same_statements final : public client {
public:
    same_statements(const std::string& connection_string, const std::string& name)
        : key_{"bare " + name},
          name_{key_},
          queue_{"rowlock-bench queue " + name},
          bell_{"rowlock-bench bell " + name},
          pin_{"rowlock-bench pin " + name},
          connection_{connection_string},
          take_{connection_, statements_of(connection_string).take},
          release_{connection_, statements_of(connection_string).release} {
        connection_.run(settings_sql);
        take_.parameter(key_, key_length_, longest_bytes);
        take_.parameter(name_, longest_text);
        take_.parameter(provider_);
        take_.parameter(number_);
        take_.parameter(owner_, longest_text);
        take_.parameter(ttl_ms_);
        take_.parameter(queue_, longest_text);
        take_.parameter(bell_, longest_text);
        take_.parameter(pin_, longest_text);
        take_.parameter(yes_);
        take_.parameter(no_);
        release_.parameter(key_, key_length_, longest_bytes);
        release_.parameter(provider_);
        release_.parameter(number_);
        release_.parameter(yes_);
        release_.parameter(bell_, longest_text);
    }
    void take() override {
        ++number_;
        if (!take_()) throw std::runtime_error{"a lease that nobody has was not granted"};
    }
    void give_back() override { (void)release_(); }

private:
    std::string key_;
    SQLLEN key_length_ = 0;
    raw_text name_, owner_{"host.example.org:12345:rowlock-bench"}, queue_, bell_, pin_;
    std::int64_t provider_ = 1, number_ = 0, ttl_ms_ = 30'000, yes_ = 1, no_ = 0;
    const raw_odbc connection_;
    raw_odbc_statement take_, release_;
};

// The least that tells whether a name is free.
class look final : public client {
public:
    look(const std::string& connection_string, const std::string& name) : key_{name}, connection_{connection_string} {
        look_.parameter(key_, key_length_, longest_bytes);
    }
    void take() override {
        if (!look_()) throw std::runtime_error{"a name that is taken does not look so"};
    }
    void give_back() override {}

private:
    std::string key_;
    SQLLEN key_length_ = 0;
    const raw_odbc connection_;
    raw_odbc_statement look_{connection_,
                             "SELECT 1 FROM [rowlock].lock WHERE name_key = ? AND expires_at > SYSUTCDATETIME()"};
};

// A row with a fencing token, which one client at a time changes.
class row {
public:
    row(const std::string& connection_string, const std::string& name, const client_spec& s)
        : name_{name},
          ttl_ms_{static_cast<SQLINTEGER>(s.ttl_ms > 0 ? s.ttl_ms : 30'000)},
          connection_{connection_string} {
        take_.parameter(ttl_ms_);
        take_.parameter(name_, longest_text);
        free_.parameter(name_, longest_text);
        raw_odbc_statement make{connection_,
                                "INSERT INTO rowlock_bench (name, token, expires_at) SELECT ?, 0, '0001-01-01'"
                                " WHERE NOT EXISTS (SELECT 1 FROM rowlock_bench WHERE name = ?)"};
        make.parameter(name_, longest_text);
        make.parameter(name_, longest_text);
        (void)make();
    }
    void take_when_free() {
        while (!take_()) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
    void give_back() { (void)free_(); }
    [[nodiscard]] const raw_odbc& connection() const noexcept { return connection_; }

private:
    // Before the statements on it are prepared. Clients of one crowd are made one after the other.
    struct with_table : raw_odbc {
        explicit with_table(const std::string& connection_string) : raw_odbc{connection_string} {
            run("IF OBJECT_ID('rowlock_bench') IS NULL CREATE TABLE rowlock_bench (name nvarchar(255) NOT NULL PRIMARY"
                " KEY, token bigint NOT NULL, expires_at datetime2(6) NOT NULL)");
            run(settings_sql);
        }
    };

    raw_text name_;
    SQLINTEGER ttl_ms_;
    const with_table connection_;
    raw_odbc_statement take_{connection_,
                             "UPDATE rowlock_bench SET token = token + 1,"
                             " expires_at = DATEADD(MILLISECOND, ?, SYSUTCDATETIME()) OUTPUT inserted.token"
                             " WHERE name = ? AND expires_at <= SYSUTCDATETIME()"};
    raw_odbc_statement free_{connection_, "UPDATE rowlock_bench SET expires_at = '0001-01-01' WHERE name = ?"};
};

// Queues at an applock, then writes the row.
class queued_row final : public client {
public:
    queued_row(const std::string& connection_string, const client_spec& s)
        : row_{connection_string, "queued " + s.lock, s}, queue_{"rowlock-bench queued " + s.lock} {
        lock_.result(code_);
        lock_.parameter(queue_, 255);
        lock_.parameter(mode_, 255);
        lock_.parameter(owner_, 255);
        lock_.parameter(for_ever_);
        unlock_.result(code_);
        unlock_.parameter(queue_, 255);
        unlock_.parameter(owner_, 255);
    }
    void take() override {
        (void)lock_();
        if (code_ < 0) throw std::logic_error{"sp_getapplock did not answer as it should"};
        row_.take_when_free();  // at once, unless a holder died with it
    }
    void give_back() override {
        row_.give_back();
        (void)unlock_();
    }

private:
    row row_;
    raw_text queue_, mode_{"Exclusive"}, owner_{"Session"};
    SQLINTEGER for_ever_ = -1, code_ = 0;
    raw_odbc_statement lock_{row_.connection(), "{?=call sp_getapplock(?,?,?,?)}"};
    raw_odbc_statement unlock_{row_.connection(), "{?=call sp_releaseapplock(?,?)}"};
};

// Asks for the row again every millisecond.
class polled_row final : public client {
public:
    polled_row(const std::string& connection_string, const client_spec& s)
        : row_{connection_string, "polled " + s.lock, s} {}
    void take() override { row_.take_when_free(); }
    void give_back() override { row_.give_back(); }

private:
    row row_;
};

}  // namespace

std::unique_ptr<client> sqlserver_lease_baseline(const std::string& rest, const client_spec& s) {
    if (s.who == side::polling) return s.what == work::mutex ? std::make_unique<polled_row>(rest, s) : nullptr;
    if (s.what == work::busy) return std::make_unique<look>(rest, s.lock);
    if (s.what != work::mutex && s.what != work::timed) return nullptr;
    if (s.contended) return std::make_unique<queued_row>(rest, s);
    return std::make_unique<same_statements>(rest, s.lock);
}

}  // namespace bench
