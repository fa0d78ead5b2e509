// What a lock in SQLite costs beside the bare database; README.md says what is measured and how.

#include <getopt.h>
#include <sched.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>

#include <rowlock/rowlock.hpp>
#include <rowlock/sqlite.hpp>

#include "partners.hpp"
#include "raw_lease.hpp"
#include "raw_sqlite.hpp"
#include "report.hpp"
#include "samples.hpp"

namespace {

using bench::judge;
using bench::print;
using bench::samples;

struct measured {
    samples raw_write, hand_over, release, wake_up;
    samples cycle, raw_cycle;
    samples busy, raw_select;
};

measured measure(const std::filesystem::path& directory, std::size_t blocks) {
    const auto file = directory / "locks.db";
    rowlock::sqlite::migrate(file);
    bench::partners two{file};  // forks: before anything is open

    bench::raw_database db{file};
    db.run("CREATE TABLE counter (id INTEGER PRIMARY KEY, value INTEGER); INSERT INTO counter VALUES (1, 0)");
    bench::raw_statement begin{db, "BEGIN IMMEDIATE"}, update{db, "UPDATE counter SET value = value + 1 WHERE id = ?1"},
        commit{db, "COMMIT"};
    const auto write = [&] {
        begin();
        update(1);
        commit();
    };

    auto locks = rowlock::sqlite::open(file);
    rowlock::mutex free{locks, "free"}, taken{locks, "taken"};
    const auto cycle = [&] { free.acquire().release(); };
    const auto held = taken.acquire();
    const auto try_in_vain = [&] {
        if (taken.try_acquire()) throw std::logic_error{"two hold the lock"};
    };
    cycle();  // makes the name's row
    bench::raw_lease raw_free{db, "free"}, raw_taken{db, "taken"};

    // Short blocks of each, in turns, so that whatever the machine does meanwhile happens to all of them. The first
    // block warms up.
    measured m;
    for (std::size_t b = 0; b <= blocks; ++b) {
        if (b == 1) m = {};
        m.raw_write.measure(100, write);
        two.hand_over(50, m.hand_over, m.release);
        two.wake_up(50, m.wake_up);
        for (int i = 0; i < 4; ++i) {
            m.cycle.measure(25, cycle);
            m.raw_cycle.measure(25, [&] { raw_free.cycle(); });
            m.busy.measure(100, try_in_vain);
            m.raw_select.measure(100, [&] { raw_taken.look(); });
        }
    }
    return m;
}

// False: a target was missed.
bool report(const measured& m) {
    bench::print_header();
    print("write transaction, bare SQLite", m.raw_write);
    print("hand-over between two processes", m.hand_over);
    print("  of it the call of release()", m.release);
    print("  bare futex, the same two processes", m.wake_up);
    print("acquire + release, uncontended", m.cycle);
    print("  the same statements, bare SQLite", m.raw_cycle);
    print("busy try", m.busy);
    print("  SELECT of the lease, bare SQLite", m.raw_select);

    std::printf("\nratios of medians\n");
    bool met = true;
    met &= judge("hand-over / write transaction", m.hand_over, m.raw_write, 10);
    met &= judge("acquire + release / bare", m.cycle, m.raw_cycle, 1.10);
    met &= judge("busy try / SELECT", m.busy, m.raw_select, 1.10);
    return met;
}

// All threads of this process and of its children on the CPU this one is on now.
void stay_on_this_cpu() {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(sched_getcpu()), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) throw std::runtime_error{"cannot stay on one CPU"};
}

constexpr auto help = R"(usage: rowlock-bench-handover [--blocks N] [--one-cpu] [--enforce] [--directory DIR]

  --blocks N       how often everything is measured, 1 to 1000; otherwise 40
  --one-cpu        both processes on one CPU; otherwise where the scheduler likes
  --enforce        exit status 1 if a target is missed
  --directory DIR  where the database is made and removed; otherwise in TMPDIR
)";

}  // namespace

int main(int argc, char** argv) {
    static const option options[]{
        {"blocks", required_argument, nullptr, 'b'}, {"one-cpu", no_argument, nullptr, 'c'},
        {"enforce", no_argument, nullptr, 'e'},      {"directory", required_argument, nullptr, 'd'},
        {"help", no_argument, nullptr, 'h'},         {nullptr, 0, nullptr, 0}};
    long blocks = 40;
    bool one_cpu = false, enforce = false;
    std::filesystem::path where = std::filesystem::temp_directory_path();
    for (int o = 0; (o = getopt_long(argc, argv, "h", options, nullptr)) != -1;) {
        switch (o) {
            case 'b':
                blocks = std::atol(optarg);
                break;
            case 'c':
                one_cpu = true;
                break;
            case 'e':
                enforce = true;
                break;
            case 'd':
                where = optarg;
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
    auto directory = (where / "rowlock-bench-XXXXXX").string();
    if (!mkdtemp(directory.data())) {
        std::perror(directory.c_str());
        return 2;
    }
    int status = 2;
    try {
        if (one_cpu) stay_on_this_cpu();
#ifndef __OPTIMIZE__
        std::printf("Built without optimization: the figures say nothing about rowlock.\n");
#endif
        std::printf("SQLite %s, WAL, synchronous=NORMAL, in %s; %u CPUs, the two processes %s\n\n",
                    sqlite3_libversion(), where.c_str(), std::thread::hardware_concurrency(),
                    one_cpu ? "share one" : "are placed by the scheduler");
        std::fflush(stdout);
        const bool met = report(measure(directory, static_cast<std::size_t>(blocks)));
        status = met || !enforce ? 0 : 1;
    } catch (const std::exception& e) {
        std::cerr << "rowlock-bench-handover: " << e.what() << '\n';
    }
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
    return status;
}
