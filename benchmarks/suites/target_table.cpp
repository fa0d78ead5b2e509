#include "target_table.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace bench {
namespace {

enum class kind : bool { at_most, at_least };
enum class number : bool { ratio, value };

// One row: which figure of which measurement must keep which bound.
struct target {
    std::string_view work;
    kind bound_is;
    double bound;
    number of;
    std::string_view suite, back_end, measured, clients, figure;
};

constexpr std::string_view advisory = "postgresql+advisory", lease = "postgresql+lease", sqlite = "sqlite";
constexpr std::string_view one = "1 thread", eight = "8 threads";
constexpr auto at_most = kind::at_most;
constexpr auto at_least = kind::at_least;
constexpr auto ratio = number::ratio;
constexpr auto value = number::value;

constexpr target table[]{
    {"advisory: acquire + release", at_most, 1.05, ratio, "latency", advisory, "mutex", one, "p50"},
    {"advisory: sends of a cycle", at_most, 2, value, "targets", advisory, "acquire + release", "", "sends"},
    {"advisory: receives of a cycle", at_most, 2, value, "targets", advisory, "acquire + release", "", "receives"},
    {"advisory, on the caller's pqxx::connection: acquire + release", at_most, 1.20, ratio, "latency", advisory,
     "mutex, on the caller's connection", one, "p50"},
    {"advisory, with a timeout: acquire + release", at_most, 1.08, ratio, "latency", advisory, "mutex, with a timeout",
     one, "p50"},
    {"advisory, with a timeout: sends of a cycle", at_most, 2, value, "targets", advisory,
     "acquire with a timeout + release", "", "sends"},
    {"applock: acquire + release", at_most, 1.05, ratio, "latency", "sqlserver+applock", "mutex", one, "p50"},
    {"lease, SQL Server: acquire + release", at_most, 1.05, ratio, "latency", "sqlserver+lease", "mutex", one, "p50"},
    {"lease, PostgreSQL: acquire + release", at_most, 1.05, ratio, "latency", lease, "mutex", one, "p50"},
    {"lease, SQLite: acquire + release", at_most, 1.10, ratio, "latency", sqlite, "mutex", one, "p50"},
    {"lease, SQLite: system calls beyond the bare statements'", at_most, 0, value, "targets", sqlite,
     "acquire + release", "", "more system calls"},
    {"advisory: busy try", at_most, 1.10, ratio, "latency", advisory, "busy try", one, "p50"},
    {"lease, PostgreSQL: busy try", at_most, 1.10, ratio, "latency", lease, "busy try", one, "p50"},
    {"lease, PostgreSQL: bytes of WAL of 1000 busy tries", at_most, 0, value, "targets", lease, "1000 busy tries", "",
     "WAL"},
    {"lease, SQLite: busy try", at_most, 1.10, ratio, "latency", sqlite, "busy try", one, "p50"},
    {"advisory: hand-over, p50", at_most, 1.10, ratio, "contention", advisory, "one lock", eight, "hand-over p50"},
    {"advisory: hand-over, p99", at_most, 1.10, ratio, "contention", advisory, "one lock", eight, "hand-over p99"},
    {"advisory: smallest / largest share of 8 clients", at_least, 0.95, value, "contention", advisory, "one lock",
     eight, "fairness"},
    {"lease: hand-over, p50", at_most, 1.10, ratio, "contention", lease, "one lock", eight, "hand-over p50"},
    {"lease: hand-over, p99", at_most, 1.10, ratio, "contention", lease, "one lock", eight, "hand-over p99"},
    {"lease: smallest / largest share of 8 clients", at_least, 0.95, value, "contention", lease, "one lock", eight,
     "fairness"},
    {"lease: throughput beside polling every 1 ms", at_least, 1, ratio, "contention", lease, "one lock, beside polling",
     eight, "throughput"},
    {"advisory, 8 free connections: throughput", at_least, 0.95, ratio, "contention", advisory, "8 locks", eight,
     "throughput"},
    {"advisory, 10,000 locks held: connections", at_most, 1, value, "scale", advisory, "held", "10000 locks",
     "connections"},
    {"advisory, 10,000 locks held: bytes of memory each", at_most, 1024, value, "scale", advisory, "held",
     "10000 locks", "memory"},
    {"lease, 10,000 locks held: bytes of memory each", at_most, 1024, value, "scale", lease, "held", "10000 locks",
     "memory"},
    {"lease, 10,000 locks held: statements a second while idle", at_most, 5, value, "scale", lease, "held",
     "10000 locks", "statements while idle"},
    {"advisory, 100 names in one try_acquire_all: round trips", at_most, 1, value, "targets", advisory,
     "100 names at once", "", "receives"},
    {"lease, 100 names in one try_acquire_all: round trips", at_most, 1, value, "targets", lease, "100 names at once",
     "", "receives"},
    {"100,000 lease cycles: KB that the table grew", at_most, 16, value, "targets", lease, "100,000 cycles", "",
     "table"},
    {"100,000 lease cycles: % of updates in place (HOT)", at_least, 99, value, "targets", lease, "100,000 cycles", "",
     "HOT"},
};

bool is_about(const measurement& m, const target& t) {
    return m.suite == t.suite && m.back_end == t.back_end && m.work == t.measured && m.clients == t.clients;
}

std::string why_not(const target& t, const report& r) {
    const bool measured =
        std::any_of(r.measurements.begin(), r.measurements.end(), [&](auto& m) { return is_about(m, t); });
    if (measured) return t.of == ratio ? "too few for a ratio, see README.md" : "see the notes";
    if (t.back_end.starts_with("sqlserver")) return "needs a server (ROWLOCK_TEST_SQLSERVER)";
    if (t.suite == "contention") return fmt::format("no {} with {} and {} in this run", t.suite, t.back_end, eight);
    return fmt::format("nothing of {} in this run", t.back_end);
}

// Met is what is met wherever clients and servers run: nobody who uses the library chooses that.
target_row judge(const target& t, const report& r) {
    target_row row{.work = std::string{t.work},
                   .bound = fmt::format("{} {}{}", t.bound_is == at_most ? "at most" : "at least", t.bound,
                                        t.of == ratio ? " x" : "")};
    for (const auto& m : r.measurements) {
        const auto* f = is_about(m, t) ? m.find(t.figure) : nullptr;
        const auto v = !f ? std::nullopt : t.of == ratio ? f->ratio : std::optional{f->value};
        if (!v) continue;
        row.values.emplace_back(m.cpus, *v);
        row.note = t.of == ratio ? "beside " + m.baseline : t.suite == "contention" ? "" : m.note;
    }
    if (row.values.empty()) {
        row.note = why_not(t, r);
        return row;
    }
    const bool met = std::all_of(row.values.begin(), row.values.end(), [&](const auto& v) {
        return t.bound_is == at_most ? v.second <= t.bound : v.second >= t.bound;
    });
    row.outcome = met ? verdict::met : verdict::missed;
    return row;
}

}  // namespace

void judge_targets(report& r) {
    r.targets.clear();
    for (const auto& t : table) r.targets.push_back(judge(t, r));
}

}  // namespace bench
