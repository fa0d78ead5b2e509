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
    std::string_view note = "";
};

constexpr std::string_view advisory = "postgresql+advisory", lease = "postgresql+lease", sqlite = "sqlite";
constexpr std::string_view applock = "sqlserver+applock", server_lease = "sqlserver+lease";
constexpr std::string_view one = "1 thread", eight = "8 threads", many = "10000 locks";
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
    {"advisory, with a timeout: receives of a cycle", at_most, 2, value, "targets", advisory,
     "acquire with a timeout + release", "", "receives"},
    {"applock: acquire + release", at_most, 1.05, ratio, "latency", applock, "mutex", one, "p50"},
    {"applock, with a timeout: acquire + release", at_most, 1.05, ratio, "latency", applock, "mutex, with a timeout",
     one, "p50"},
    {"applock: busy try", at_most, 1.05, ratio, "latency", applock, "busy try", one, "p50"},
    {"lease, SQL Server: acquire + release", at_most, 1.05, ratio, "latency", server_lease, "mutex", one, "p50"},
    {"lease, PostgreSQL: acquire + release", at_most, 1.05, ratio, "latency", lease, "mutex", one, "p50"},
    {"lease, SQLite: acquire + release", at_most, 1.10, ratio, "latency", sqlite, "mutex", one, "p50"},
    {"lease, SQLite: system calls beyond the bare statements'", at_most, 0, value, "targets", sqlite,
     "acquire + release", "", "more system calls"},
    {"advisory: busy try", at_most, 1.10, ratio, "latency", advisory, "busy try", one, "p50"},
    {"advisory: bytes of WAL of 1000 busy tries", at_most, 0, value, "targets", advisory, "1000 busy tries", "", "WAL"},
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
    {"lease, 8 free connections: throughput", at_least, 0.95, ratio, "contention", lease, "8 locks", eight,
     "throughput"},
    {"advisory, 10,000 locks held: connections", at_most, 1, value, "scale", advisory, "held", many, "connections"},
    {"advisory, 10,000 locks held: bytes of memory each", at_most, 1024, value, "scale", advisory, "held", many,
     "memory"},
    {"lease, 10,000 locks held: connections", at_most, 1, value, "scale", lease, "held", many, "connections"},
    {"lease, 10,000 locks held: bytes of memory each", at_most, 1024, value, "scale", lease, "held", many, "memory"},
    {"lease, 10,000 locks held: statements a second while idle", at_most, 5, value, "scale", lease, "held", many,
     "statements while idle"},
    {"lease, 10,000 locks held: statements while idle beyond those of 100", at_most, 1, value, "targets", lease,
     "10,000 held beside 100", "", "more statements while idle"},
    {"advisory, 100 names in one try_acquire_all: round trips", at_most, 1, value, "targets", advisory,
     "100 names at once", "", "receives"},
    {"lease, 100 names in one try_acquire_all: round trips", at_most, 1, value, "targets", lease, "100 names at once",
     "", "receives"},
    {"100,000 lease cycles: KB of the table", at_most, 16, value, "targets", lease, "100,000 cycles", "", "table"},
    {"100,000 lease cycles: % of updates in place (HOT)", at_least, 99, value, "targets", lease, "100,000 cycles", "",
     "HOT"},
};

bool is_about(const measurement& m, const target& t) {
    return m.suite == t.suite && m.back_end == t.back_end && m.work == t.measured && m.clients == t.clients;
}

std::string why_not(const target& t, const report& r) {
    const bool measured =
        std::any_of(r.measurements.begin(), r.measurements.end(), [&](auto& m) { return is_about(m, t); });
    if (measured) return t.of == ratio ? "too few passes or hand-overs to tell a ratio" : "see the notes";
    if (t.back_end.starts_with("sqlserver")) return "needs a server (ROWLOCK_TEST_SQLSERVER)";
    if (t.suite == "contention") return fmt::format("no {} with {} and {} in this run", t.suite, t.back_end, eight);
    return fmt::format("nothing of {} in this run", t.back_end);
}

std::string note_of(const target& t, const measurement& m) {
    if (!t.note.empty()) return std::string{t.note};
    if (t.of == ratio)
        return "beside " + m.baseline +
               (m.cpus == "server not pinned" ? "; the server is where its owner put it, see README.md" : "");
    return t.suite == "contention" ? "" : m.note;
}

// Of a range, only if the whole of it is on one side of the bound.
verdict verdict_on(const target& t, const target_value& v) {
    const auto keeps = [&](double x) { return t.bound_is == at_most ? x <= t.bound : x >= t.bound; };
    const auto from = v.value ? *v.value : v.range->first, to = v.value ? *v.value : v.range->second;
    if (keeps(from) && keeps(to)) return verdict::met;
    return keeps(from) || keeps(to) ? verdict::not_sure : verdict::missed;
}

// Met is what is met wherever clients and servers run, and missed what is missed anywhere: nobody who uses the library
// chooses that.
verdict verdict_on(const target& t, const std::vector<target_value>& values) {
    auto worst = verdict::met;
    for (const auto& v : values) {
        const auto here = verdict_on(t, v);
        if (here == verdict::missed || worst == verdict::met) worst = here;
    }
    return worst;
}

target_row judge(const target& t, const report& r) {
    target_row row{.work = std::string{t.work},
                   .bound = fmt::format("{} {}{}", t.bound_is == at_most ? "at most" : "at least", t.bound,
                                        t.of == ratio ? " x" : "")};
    for (const auto& m : r.measurements) {
        const auto* f = is_about(m, t) ? m.find(t.figure) : nullptr;
        if (!f || (t.of == ratio && !f->ratio && !f->range)) continue;
        if (t.of == ratio)
            row.values.push_back({m.cpus, f->ratio, f->range});
        else
            row.values.push_back({m.cpus, f->value});
        row.note = note_of(t, m);
    }
    if (row.values.empty())
        row.note = why_not(t, r);
    else
        row.outcome = verdict_on(t, row.values);
    return row;
}

}  // namespace

void judge_targets(report& r) {
    r.targets.clear();
    for (const auto& t : table) r.targets.push_back(judge(t, r));
}

}  // namespace bench
