#include "back_ends.hpp"

#include <array>
#include <stdexcept>

#include <rowlock/provider.hpp>

#include "library_client.hpp"

namespace bench {
namespace {

constexpr std::array table{
    back_end{.scheme = "memory:",
             .baseline_name = "standard library",
             .baseline = memory_baseline,
             .processes = false,
             .server = false},
#ifdef ROWLOCK_HAVE_SQLITE
    back_end{.scheme = "sqlite:",
             .baseline_name = "bare SQLite",
             .baseline = sqlite_baseline,
             .server = false,
             .ends_by_ttl = true},
#endif
#ifdef ROWLOCK_HAVE_POSTGRES
    back_end{.scheme = "postgresql+advisory:",
             .baseline_name = "bare libpq",
             .baseline = postgres_advisory_baseline,
             .borrowed = postgres_advisory_borrowed,
             .monitor = postgres_monitor},
    back_end{.scheme = "postgresql+lease:",
             .baseline_name = "bare libpq",
             .baseline = postgres_lease_baseline,
             .ends_by_ttl = true,
             .monitor = postgres_monitor},
#endif
#ifdef ROWLOCK_HAVE_SQLSERVER
    back_end{.scheme = "sqlserver+applock:", .baseline_name = "bare ODBC", .baseline = applock_baseline},
    back_end{.scheme = "sqlserver+lease:",
             .baseline_name = "bare ODBC",
             .baseline = sqlserver_lease_baseline,
             .ends_by_ttl = true},
#endif
    back_end{.scheme = "flock:", .baseline_name = "", .baseline = flock_client, .library = false, .server = false},
#ifdef ROWLOCK_BENCH_REDIS
    back_end{.scheme = "redis:", .baseline_name = "", .baseline = redis_client, .library = false, .ends_by_ttl = true},
#endif
#ifdef ROWLOCK_BENCH_MARIADB
    back_end{.scheme = "mariadb:", .baseline_name = "", .baseline = mariadb_client, .library = false},
#endif
};

}  // namespace

std::span<const back_end> back_ends() { return table; }

const back_end& back_end_of(std::string_view url) {
    for (const auto& b : table)
        if (url.starts_with(b.scheme)) return b;
    std::string known;
    for (const auto& b : table) known += " " + std::string{b.scheme};
    throw std::invalid_argument{"\"" + std::string{url} + "\" is none of what this build can measure:" + known};
}

std::string rest_of(const std::string& url) { return url.substr(back_end_of(url).scheme.size()); }

std::string name_of(std::string_view url) {
    const auto scheme = back_end_of(url).scheme;
    return std::string{scheme.substr(0, scheme.size() - 1)};
}

std::unique_ptr<client> make_client(const client_spec& s) {
    const auto& b = back_end_of(s.url);
    if (s.who != side::rowlock) return b.library ? b.baseline(rest_of(s.url), s) : nullptr;
    if (!b.library) return b.baseline(rest_of(s.url), s);
    if (s.what == work::borrowed) return b.borrowed ? b.borrowed(rest_of(s.url), s) : nullptr;
    return library_client(s);
}

bool supports(const std::string& url, work w) {
    const auto& b = back_end_of(url);
    if (!b.library) return w == work::mutex;
    switch (w) {
        case work::borrowed:
            return b.borrowed != nullptr;
        case work::shared:
            return open_for(url).supports(rowlock::primitive::shared_mutex);
        case work::upgrade:
            return open_for(url).supports(rowlock::primitive::upgrade_mutex);
        case work::semaphore:
            return open_for(url).supports(rowlock::primitive::semaphore);
        default:
            return true;
    }
}

std::string_view to_string(work w) noexcept {
    switch (w) {
        case work::mutex:
            return "mutex";
        case work::timed:
            return "mutex, with a timeout";
        case work::borrowed:
            return "mutex, on the caller's connection";
        case work::shared:
            return "shared mutex";
        case work::upgrade:
            return "upgrade mutex";
        case work::semaphore:
            return "semaphore";
        case work::busy:
            return "busy try";
    }
    return "";
}

}  // namespace bench
