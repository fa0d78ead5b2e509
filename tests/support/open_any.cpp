#include "open_any.hpp"

#include <list>
#include <mutex>

#ifdef ROWLOCK_HAVE_POSTGRES
#include <pqxx/connection>
#include <rowlock/postgres.hpp>
#endif
#ifdef ROWLOCK_HAVE_SQLITE
#include <SQLiteCpp/Database.h>
#include <rowlock/sqlite.hpp>
#endif
#ifdef ROWLOCK_HAVE_SQLSERVER
#include <rowlock/sqlserver.hpp>

#include "odbc_connection.hpp"
#endif
#if __has_include(<examples/flock_backend.hpp>)
#include <examples/flock_backend.hpp>
#define ROWLOCK_TEST_FLOCK
#endif

namespace rowlock::test {
namespace {

// What follows the scheme; empty if it is another one.
std::string rest_of(const std::string& url, std::string_view scheme) {
    return url.starts_with(scheme) ? url.substr(scheme.size()) : std::string{};
}

// A connection for each provider. The provider's options outlive its back end, so they can carry it.
template <class Connection>
Connection& connection_carried_by(options& opt, const std::string& to) {
    struct carrier {
        Connection connection;
        std::shared_ptr<observer> events;
    };
    const std::shared_ptr<carrier> c{new carrier{Connection{to}, opt.events}};
    opt.events = {c, c->events.get()};
    return c->connection;
}

}  // namespace

provider open_any(const std::string& url, options opt) {
#ifdef ROWLOCK_HAVE_SQLITE
    if (const auto path = rest_of(url, "sqlite-connection:"); !path.empty()) {
        // They must outlive the providers, whose end nobody tells us. Kept to the end of the process.
        static std::mutex mutex;
        static auto& connections = *new std::list<SQLite::Database>;
        const std::lock_guard lock{mutex};
        auto& db = connections.emplace_back(path, SQLite::OPEN_READWRITE | SQLite::OPEN_FULLMUTEX);
        db.exec("PRAGMA synchronous = NORMAL");  // as most programs have it with WAL, and forty times faster
        return sqlite::on(db, std::move(opt));
    }
#endif
#ifdef ROWLOCK_HAVE_POSTGRES
    if (const auto database = rest_of(url, "postgresql-advisory-connection:"); !database.empty()) {
        auto& connection = connection_carried_by<pqxx::connection>(opt, "postgresql:" + database);
        return postgres::advisory_on(connection, std::move(opt));
    }
    if (const auto database = rest_of(url, "postgresql-lease-connection:"); !database.empty()) {
        auto& connection = connection_carried_by<pqxx::connection>(opt, "postgresql:" + database);
        return postgres::leases_on(connection, std::move(opt));
    }
#endif
#ifdef ROWLOCK_HAVE_SQLSERVER
    if (const auto to = rest_of(url, "sqlserver-applock-connection:"); !to.empty()) {
        auto& connection = connection_carried_by<odbc_connection>(opt, to);
        return sqlserver::applock_on(connection.handle(), std::move(opt));
    }
    if (const auto to = rest_of(url, "sqlserver-lease-connection:"); !to.empty()) {
        auto& connection = connection_carried_by<odbc_connection>(opt, to);
        return sqlserver::leases_on(connection.handle(), std::move(opt));
    }
#endif
#ifdef ROWLOCK_TEST_FLOCK
    if (const auto directory = rest_of(url, "flock:"); !directory.empty())
        return provider{std::make_unique<::flock_backend>(directory), std::move(opt)};
#endif
    if (const auto fenced = rest_of(url, "fencing:"); !fenced.empty()) {
        opt.fencing = true;
        return open(fenced, std::move(opt));
    }
    if (const auto prefixed = rest_of(url, "prefixed:"); !prefixed.empty()) {
        const auto at = prefixed.find(':');
        opt.key_prefix = prefixed.substr(0, at) + opt.key_prefix;
        return open_any(prefixed.substr(at + 1), std::move(opt));
    }
    return open(url, std::move(opt));
}

}  // namespace rowlock::test
