// What lies between a program and the driver, piece by piece, in nanoseconds: for those who want to make it less.

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include <benchmark/benchmark.h>

#include <rowlock/rowlock.hpp>

#include <lib/src/names.hpp>
#ifdef ROWLOCK_HAVE_POSTGRES
#include <backends/postgres/lock_key.hpp>
#endif

namespace {

using rowlock::lock_request;

// Everything is free at once: what remains is the engine's and the handle's.
class nothing final : public rowlock::backend {
public:
    explicit nothing(bool leases) : leases_{leases} {}

private:
    std::optional<rowlock::grant> do_try_acquire(const lock_request& r, rowlock::deadline /*d*/) override {
        rowlock::grant g{.token = rowlock::fencing_token{++token_}};
        if (leases_) g.expires_at = rowlock::boot_clock::now() + r.ttl;
        return g;
    }
    void do_release(const lock_request& /*r*/, rowlock::deadline /*d*/) override {}
    std::vector<rowlock::renewal> do_renew(std::span<const lock_request* const> held,
                                           rowlock::deadline /*d*/) override {
        std::vector<rowlock::renewal> all;
        for (const auto* r : held) all.push_back({.expires_at = rowlock::boot_clock::now() + r->ttl});
        return all;
    }
    [[nodiscard]] rowlock::backend_traits do_traits() const override {
        return {.name = "nothing", .shared_mutex = true, .semaphore = true, .leases = leases_, .tokens = true};
    }

    const bool leases_;
    std::atomic<std::uint64_t> token_{0};
};

rowlock::provider provider_of_nothing(bool leases) { return rowlock::provider{std::make_unique<nothing>(leases)}; }

void check_a_name(benchmark::State& state) {
    const std::string name(static_cast<std::size_t>(state.range(0)), 'n');
    for (auto _ : state) benchmark::DoNotOptimize(rowlock::detail::full_name("billing:", name));
}
BENCHMARK(check_a_name)->Arg(14)->Arg(240);

#ifdef ROWLOCK_HAVE_POSTGRES
// Each time another name, as the last one is remembered.
void hash_a_name(benchmark::State& state) {
    const auto size = static_cast<std::size_t>(state.range(0));
    const std::string one(size, '1'), other(size, '2');
    for (bool odd = false; auto _ : state) {
        benchmark::DoNotOptimize(rowlock::postgres::key_of(odd ? one : other));
        odd = !odd;
    }
}
BENCHMARK(hash_a_name)->Arg(14)->Arg(240);

void hash_the_same_name(benchmark::State& state) {
    const std::string name(14, 'n');
    for (auto _ : state) benchmark::DoNotOptimize(rowlock::postgres::key_of(name));
}
BENCHMARK(hash_the_same_name);
#endif

// The whole way through mutex, engine and handle. Argument 1: leases, which have an end and are watched.
void acquire_and_release(benchmark::State& state) {
    auto locks = provider_of_nothing(state.range(0) != 0);
    rowlock::mutex m{locks, "nightly-report"};
    for (auto _ : state) m.acquire().release();
}
BENCHMARK(acquire_and_release)->Arg(0)->Arg(1);

void acquire_with_a_timeout(benchmark::State& state) {
    auto locks = provider_of_nothing(false);
    rowlock::mutex m{locks, "nightly-report"};
    for (auto _ : state) m.try_acquire_for(std::chrono::seconds{5})->release();
}
BENCHMARK(acquire_with_a_timeout);

// The same while others of the provider are held: the set of what is held must not matter.
void among_held_ones(benchmark::State& state) {
    auto locks = provider_of_nothing(false);
    std::vector<rowlock::lock_handle> held;
    for (int i = 0; i < state.range(0); ++i) held.push_back(locks.acquire("held " + std::to_string(i)));
    rowlock::mutex m{locks, "nightly-report"};
    for (auto _ : state) m.acquire().release();
}
BENCHMARK(among_held_ones)->Arg(100)->Arg(10'000);

// Several threads of one provider, each with a lock of its own: what they lose at what the provider shares.
void by_several_threads(benchmark::State& state) {
    static const auto locks = provider_of_nothing(false);
    rowlock::mutex m{locks, "of thread " + std::to_string(state.thread_index())};
    for (auto _ : state) m.acquire().release();
}
BENCHMARK(by_several_threads)->Threads(1)->Threads(4)->UseRealTime();

void ask_a_handle(benchmark::State& state) {
    auto locks = provider_of_nothing(true);
    const auto held = locks.acquire("nightly-report");
    for (auto _ : state) benchmark::DoNotOptimize(held.lost().stop_requested());
}
BENCHMARK(ask_a_handle);

}  // namespace

BENCHMARK_MAIN();
