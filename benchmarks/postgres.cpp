// What locks in PostgreSQL cost beside bare libpq; README.md says what is measured and how.

#include <getopt.h>
#include <malloc.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <pqxx/pqxx>
#include <rowlock/postgres.hpp>
#include <rowlock/rowlock.hpp>
#include <rowlock/schema.hpp>

#include <support/postgres_server.hpp>

#include "contention.hpp"
#include "postgres_baseline.hpp"
#include "report.hpp"

namespace {

using namespace std::chrono_literals;
using bench::bound;
using bench::contest;
using bench::judge;
using bench::print;
using bench::samples;

// --- one client, nobody else about ----------------------------------------------------------------------------------

struct cycles {
    samples advisory, timed, borrowed, raw_advisory;
    samples busy, raw_select;
    samples lease, raw_lease;
    samples busy_lease, raw_look;
    std::string wal_of_busy_tries;
};

cycles measure_cycles(const std::string& conninfo, std::size_t blocks) {
    auto locks = rowlock::postgres::advisory(conninfo), leases = rowlock::postgres::leases(conninfo);
    pqxx::connection connection{conninfo};
    auto theirs = rowlock::postgres::advisory_on(connection);
    rowlock::mutex borrowed{theirs, "borrowed"};
    rowlock::mutex free{locks, "free"}, taken{locks, "taken"}, free_lease{leases, "free"}, taken_lease{leases, "taken"};
    const auto held = taken.acquire();
    const auto held_lease = taken_lease.acquire();
    bench::raw_advisory raw{conninfo};
    bench::raw_lease raw_lease{conninfo};
    const auto wal_at = [&] { return raw.session().text("SELECT pg_current_wal_insert_lsn()"); };

    // Short blocks of each, in turns, so that whatever the machine does meanwhile happens to all of them. The first
    // block warms up.
    cycles c;
    for (std::size_t b = 0; b <= blocks; ++b) {
        if (b == 1) c = {};
        for (int i = 0; i < 4; ++i) {
            c.advisory.measure(25, [&] { free.acquire().release(); });
            c.raw_advisory.measure(25, [&] {
                raw.take();
                raw.give_back();
            });
            c.timed.measure(25, [&] { free.try_acquire_for(5s)->release(); });
            c.borrowed.measure(25, [&] { borrowed.acquire().release(); });
            c.busy.measure(25, [&] { (void)taken.try_acquire(); });
            c.raw_select.measure(25, [&] { raw.select(); });
            c.lease.measure(10, [&] { free_lease.acquire().release(); });
            c.raw_lease.measure(10, [&] {
                raw_lease.take();
                raw_lease.give_back();
            });
            c.busy_lease.measure(25, [&] { (void)taken_lease.try_acquire(); });
            c.raw_look.measure(25, [&] { raw_lease.look(); });
        }
    }
    const auto before = wal_at();
    for (int i = 0; i < 1000; ++i) (void)taken_lease.try_acquire();
    c.wal_of_busy_tries = raw.session().text("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '" + before + "')");
    return c;
}

bool report(const cycles& c) {
    bench::print_header();
    print("advisory: acquire + release", c.advisory);
    print("  with a timeout", c.timed);
    print("  on a pqxx::connection", c.borrowed);
    print("  the same statements, bare libpq", c.raw_advisory);
    print("advisory: busy try", c.busy);
    print("  prepared SELECT of a parameter, bare libpq", c.raw_select);
    print("lease: acquire + release", c.lease);
    print("  the same statements, bare libpq", c.raw_lease);
    print("lease: busy try", c.busy_lease);
    print("  prepared SELECT of its row, bare libpq", c.raw_look);
    std::printf("\nratios of medians\n");
    bool met = judge("advisory: acquire + release / bare", c.advisory, c.raw_advisory, 1.05);
    met &= judge("advisory: with a timeout / bare", c.timed, c.raw_advisory, 1.08);
    met &= judge("advisory: on a pqxx::connection / bare", c.borrowed, c.raw_advisory, 1.2);
    met &= judge("advisory: busy try / SELECT", c.busy, c.raw_select, 1.1);
    met &= judge("lease: acquire + release / bare", c.lease, c.raw_lease, 1.05);
    met &= judge("lease: busy try / SELECT", c.busy_lease, c.raw_look, 1.1);
    met &= judge("lease: bytes of WAL of 1000 busy tries", std::stod(c.wal_of_busy_tries), 0);
    return met;
}

// --- eight clients --------------------------------------------------------------------------------------------------

constexpr std::size_t client_count = 8;
constexpr auto turn = 500ms;
constexpr auto hold = 50us;

// Clients of one kind, each with sessions of its own.
template <class Client>
class crowd {
public:
    template <class... Arguments>
    explicit crowd(const Arguments&... arguments) {
        for (std::size_t i = 0; i < client_count; ++i) {
            auto& one = all_.emplace_back(std::make_unique<Client>(arguments...));
            clients_.push_back({[&one = *one] { one.take(); }, [&one = *one] { one.give_back(); }});
        }
    }
    void compete(bench::nanoseconds held = hold) { result.add(bench::compete(clients_, turn, held)); }

    contest result;

private:
    std::vector<std::unique_ptr<Client>> all_;
    std::vector<bench::client> clients_;
};

// Through the library.
class one_of_us {
public:
    one_of_us(rowlock::provider locks, const std::string& name) : mutex_{locks, name} {}
    void take() { held_ = mutex_.acquire(); }
    void give_back() { held_->release(); }

private:
    rowlock::mutex mutex_;
    std::optional<rowlock::lock_handle> held_;
};

struct advisory_client : one_of_us {
    explicit advisory_client(const std::string& conninfo, const std::string& name = "wanted")
        : one_of_us{rowlock::postgres::advisory(conninfo), name} {}
};
struct lease_client : one_of_us {
    explicit lease_client(const std::string& conninfo) : one_of_us{rowlock::postgres::leases(conninfo), "wanted"} {}
};

std::string next_name() {
    static int n = 0;
    return "own " + std::to_string(++n);
}
struct free_client : advisory_client {
    explicit free_client(const std::string& conninfo) : advisory_client{conninfo, next_name()} {}
};

void print(const char* what, const contest& c) {
    print(what, c.hand_over);
    std::printf("  %.0f a second, smallest share / largest %.2f\n", c.per_second(), c.fairness());
}

bool report_contention(const std::string& conninfo, std::size_t blocks) {
    crowd<advisory_client> advisory{conninfo};
    crowd<bench::raw_advisory> raw_advisory{conninfo};
    crowd<lease_client> lease{conninfo};
    crowd<bench::raw_queued_lease> raw_lease{conninfo};
    crowd<bench::raw_polled_lease> polled{conninfo};
    crowd<free_client> free{conninfo};
    crowd<bench::raw_free_advisory> raw_free{conninfo};
    for (std::size_t b = 0; b < blocks; ++b) {
        advisory.compete();
        raw_advisory.compete();
        lease.compete();
        raw_lease.compete();
        polled.compete();
        free.compete(0ns);
        raw_free.compete(0ns);
    }
    std::printf("\n%zu clients want one lock and hold it for %lld us: from release to the next one's grant\n",
                client_count, static_cast<long long>(hold / 1us));
    bench::print_header();
    print("advisory", advisory.result);
    print("  bare libpq, blocking", raw_advisory.result);
    print("lease", lease.result);
    print("  bare libpq: advisory lock and row", raw_lease.result);
    print("  bare libpq: the row, asked for every 1 ms", polled.result);

    std::printf("\nratios\n");
    const auto p99 = [](const contest& c) { return c.hand_over.percentile(99); };
    bool met = judge("advisory: hand-over / bare, p50", advisory.result.hand_over, raw_advisory.result.hand_over, 1.1);
    met &= judge("advisory: hand-over / bare, p99", p99(advisory.result) / p99(raw_advisory.result), 1.1);
    met &= judge("advisory: smallest / largest share", advisory.result.fairness(), 0.95, bound::at_least);
    met &= judge("lease: hand-over / bare, p50", lease.result.hand_over, raw_lease.result.hand_over, 1.1);
    met &= judge("lease: hand-over / bare, p99", p99(lease.result) / p99(raw_lease.result), 1.1);
    met &= judge("lease: smallest / largest share", lease.result.fairness(), 0.95, bound::at_least);
    met &= judge("lease: throughput / polling", lease.result.per_second() / polled.result.per_second(), 1,
                 bound::at_least);
    met &= judge("eight free locks: throughput / bare", free.result.per_second() / raw_free.result.per_second(), 0.95,
                 bound::at_least);
    return met;
}

// --- many locks -----------------------------------------------------------------------------------------------------

std::size_t heap_in_use() { return mallinfo2().uordblks; }

bool report_scale(const std::string& conninfo, rowlock::test::postgres_server* own, const std::string& database) {
    constexpr std::size_t count = 10'000;
    bench::raw_advisory raw{conninfo};
    const std::string owner = "bench-many";
    bool met = true;
    std::printf("\n%zu locks held by one program\n", count);
    {
        auto locks = rowlock::postgres::advisory(conninfo, {.owner = owner});
        std::vector<rowlock::lock_handle> held;
        held.reserve(count);
        const auto before = heap_in_use();
        for (std::size_t i = 0; i < count; ++i) held.push_back(locks.try_acquire("many " + std::to_string(i)).value());
        const auto bytes = static_cast<double>(heap_in_use() - before) / static_cast<double>(count);
        const auto connections =
            raw.session().text("SELECT count(*) FROM pg_stat_activity WHERE application_name = '" + owner + "'");
        met &= judge("advisory: connections", std::stod(connections), 1);
        met &= judge("advisory: bytes of memory a lock", bytes, 1024);
    }
    if (!own) return met;
    constexpr int cycles_of_a_lease = 100'000;
    std::printf("\n%d lease cycles\n", cycles_of_a_lease);
    auto leases = rowlock::postgres::leases(conninfo);
    rowlock::mutex m{leases, "worn"};
    (void)own->sql(database, "VACUUM FULL rowlock.lock; SELECT pg_stat_reset()");
    for (int i = 0; i < cycles_of_a_lease; ++i) m.acquire().release();
    std::this_thread::sleep_for(1s);  // the server's counters lag behind
    const auto heap = own->sql(database, "SELECT pg_relation_size('rowlock.lock')");
    const auto hot =
        own->sql(database, "SELECT 100.0 * n_tup_hot_upd / n_tup_upd FROM pg_stat_user_tables WHERE relname = 'lock'");
    met &= judge("lease: KB of heap", std::stod(heap) / 1024, 16);
    met &= judge("lease: % of updates in place (HOT)", std::stod(hot), 99, bound::at_least);
    return met;
}

constexpr auto help = R"(usage: rowlock-bench-postgres [--blocks N] [--conninfo TEXT] [--enforce] [--no-scale]

  --blocks N       how often everything is measured, 1 to 1000; otherwise 20
  --conninfo TEXT  a database to measure in, which must be migrated; otherwise a server is started for that
  --enforce        exit status 1 if a target is missed
  --no-scale       leave out what takes minutes: many locks, many cycles
)";

}  // namespace

int main(int argc, char** argv) {
    static const option options[]{
        {"blocks", required_argument, nullptr, 'b'}, {"conninfo", required_argument, nullptr, 'c'},
        {"enforce", no_argument, nullptr, 'e'},      {"no-scale", no_argument, nullptr, 's'},
        {"help", no_argument, nullptr, 'h'},         {nullptr, 0, nullptr, 0}};
    long blocks = 20;
    bool enforce = false, scale = true;
    std::string conninfo;
    for (int o = 0; (o = getopt_long(argc, argv, "h", options, nullptr)) != -1;) {
        switch (o) {
            case 'b':
                blocks = std::atol(optarg);
                break;
            case 'c':
                conninfo = optarg;
                break;
            case 'e':
                enforce = true;
                break;
            case 's':
                scale = false;
                break;
            case 'h':
                std::cout << help;
                return 0;
            default:
                return 2;
        }
    }
    if (blocks < 1 || blocks > 1000 || optind != argc) {
        std::cerr << help;
        return 2;
    }
    try {
        std::optional<rowlock::test::postgres_server> own;
        std::string database;
        if (conninfo.empty()) {
            // A statement of ours is longer than what the server shows by default.
            own.emplace(std::vector<std::string>{"fsync = on", "track_activity_query_size = 16384"});
            database = own->new_database();
            conninfo = own->conninfo(database);
            rowlock::open_schema("postgresql:" + conninfo).migrate();
        }
#ifndef __OPTIMIZE__
        std::printf("Built without optimization: the figures say nothing about rowlock.\n");
#endif
        bench::raw_advisory first{conninfo};
        std::printf("PostgreSQL %s, fsync %s; %u CPUs, client and server placed by the scheduler\n\n",
                    first.session().text("SHOW server_version").c_str(), first.session().text("SHOW fsync").c_str(),
                    std::thread::hardware_concurrency());
        std::fflush(stdout);
        bool met = report(measure_cycles(conninfo, static_cast<std::size_t>(blocks)));
        std::fflush(stdout);
        met &= report_contention(conninfo, static_cast<std::size_t>(blocks));
        std::fflush(stdout);
        if (scale) met &= report_scale(conninfo, own ? &*own : nullptr, database);
        return met || !enforce ? 0 : 1;
    } catch (const std::exception& e) {
        std::cerr << "rowlock-bench-postgres: " << e.what() << '\n';
        return 2;
    }
}
