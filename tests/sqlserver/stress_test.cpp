// Many threads, few names, short waits and cancellations by chance: nobody is inside with somebody else, and nothing is
// left behind. ROWLOCK_TEST_STRESS_SECONDS says for how long, ROWLOCK_TEST_SEED repeats the choices.
#include <boost/test/unit_test.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <rowlock/error.hpp>
#include <rowlock/rowlock.hpp>
#include <rowlock/sqlserver.hpp>

#include <support/postgres_server.hpp>
#include <support/slack.hpp>
#include <support/sqlserver_connection.hpp>

namespace {

using namespace std::chrono_literals;

constexpr int threads = 12, names = 3, providers = 3;
constexpr std::uint32_t permits = 2;

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
    const char* const text = std::getenv(variable);
    return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

// Who is inside a name, by mode: what must never be there together.
struct inside {
    std::atomic<int> exclusive{0}, shared{0}, upgrade{0}, permit{0};

    [[nodiscard]] bool violated() const {
        const int x = exclusive, s = shared, u = upgrade, p = permit;
        return x > 1 || u > 1 || p > static_cast<int>(permits) || (x > 0 && s + u + p > 0) || (p > 0 && s + u > 0);
    }
};

struct counts {
    std::atomic<long> granted{0}, busy{0}, cancelled{0}, upgraded{0}, lost{0}, violations{0}, errors{0};
};

class visitor {
public:
    visitor(rowlock::provider locks, const std::string& prefix, std::array<inside, names>& all, counts& c,
            std::uint64_t seed)
        : locks_{std::move(locks)}, prefix_{prefix}, inside_{all}, counts_{c}, random_{seed} {}

    void visit() {
        const auto n = random_() % names;
        std::stop_source stop;
        std::jthread stopper;
        if (random_() % 4 == 0)
            stopper = std::jthread{[&stop, after = std::chrono::microseconds{random_() % 20'000}] {
                std::this_thread::sleep_for(after);
                stop.request_stop();
            }};
        try {
            auto got = take(n, std::chrono::microseconds{random_() % 30'000}, stop.get_token());
            if (!got)
                ++counts_.busy;
            else
                stay(n, std::move(*got));
        } catch (const rowlock::cancelled&) {
            ++counts_.cancelled;
        } catch (const rowlock::error& e) {
            if (counts_.errors++ < 5) std::fprintf(stderr, "%s\n", e.what());
        }
    }

private:
    std::optional<rowlock::lock_handle> take(std::size_t n, std::chrono::microseconds wait, std::stop_token stop) {
        const auto name = prefix_ + std::to_string(n);
        if (random_() % 5 == 0) wait = 0us;
        switch (random_() % 4) {
            case 0:
                return rowlock::mutex{locks_, name}.try_acquire_for(wait, stop);
            case 1:
                return rowlock::shared_mutex{locks_, name}.try_acquire_shared_for(wait, stop);
            case 2:
                return rowlock::upgrade_mutex{locks_, name}.try_acquire_upgrade_for(wait, stop);
            default:
                return rowlock::semaphore{locks_, name, permits}.try_acquire_for(wait, stop);
        }
    }
    static std::atomic<int>& count_of(inside& i, rowlock::lock_mode m) {
        switch (m) {
            case rowlock::lock_mode::exclusive:
                return i.exclusive;
            case rowlock::lock_mode::shared:
                return i.shared;
            case rowlock::lock_mode::upgrade:
                return i.upgrade;
            case rowlock::lock_mode::permit:
                break;
        }
        return i.permit;
    }
    void note(const inside& i, const char* when) {
        if (!i.violated()) return;
        ++counts_.violations;
        std::fprintf(stderr, "%s: %d exclusive, %d shared, %d upgrade, %d permits\n", when, i.exclusive.load(),
                     i.shared.load(), i.upgrade.load(), i.permit.load());
    }
    void be_inside(inside& i, std::atomic<int>& count) {
        ++count;
        note(i, "entering");
        std::this_thread::sleep_for(std::chrono::microseconds{random_() % 500});
        note(i, "leaving");
        --count;
    }
    void stay(std::size_t n, rowlock::lock_handle h) {
        ++counts_.granted;
        be_inside(inside_[n], count_of(inside_[n], h.mode()));
        if (h.mode() == rowlock::lock_mode::upgrade && random_() % 2 == 0 &&
            h.try_upgrade_for(std::chrono::microseconds{random_() % 5'000})) {
            ++counts_.upgraded;
            be_inside(inside_[n], inside_[n].exclusive);
        }
        counts_.lost += h.lost().stop_requested();
        h.release();
    }

    rowlock::provider locks_;
    const std::string prefix_;
    std::array<inside, names>& inside_;
    counts& counts_;
    std::mt19937_64 random_;
};

void stress(const std::string& connection_string) {
    const auto seed = number_from("ROWLOCK_TEST_SEED", std::random_device{}());
    const std::chrono::seconds length{number_from("ROWLOCK_TEST_STRESS_SECONDS", 5)};
    BOOST_TEST_MESSAGE("ROWLOCK_TEST_SEED=" << seed << ", " << threads << " threads, " << length.count() << " s");
    BOOST_TEST_INFO_SCOPE("ROWLOCK_TEST_SEED=" << seed);
    const auto prefix = "stress " + std::to_string(seed) + " ";
    std::array<inside, names> all;
    counts c;
    {
        std::vector<rowlock::provider> open;
        for (int i = 0; i < providers; ++i) open.push_back(rowlock::sqlserver::applock(connection_string));
        const auto end = std::chrono::steady_clock::now() + length;
        std::vector<std::jthread> running;
        for (int i = 0; i < threads; ++i)
            running.emplace_back([&, i] {
                visitor v{open[static_cast<std::size_t>(i % providers)], prefix, all, c,
                          seed + static_cast<std::uint64_t>(i)};
                while (std::chrono::steady_clock::now() < end) v.visit();
            });
        running.clear();

        // While the sessions still live, in which something could be left.
        auto fresh = rowlock::sqlserver::applock(connection_string);
        for (int n = 0; n < names; ++n)
            BOOST_TEST(fresh.try_acquire(prefix + std::to_string(n)).has_value(),
                       "name " << n << " is free at the end");
        for (int n = 0; n < names; ++n) {
            std::vector<rowlock::lock_handle> taken;
            rowlock::semaphore s{fresh, prefix + std::to_string(n), permits};
            while (auto h = s.try_acquire()) taken.push_back(std::move(*h));
            BOOST_TEST(taken.size() == permits, "all permits of name " << n << " are free at the end");
        }
    }
    BOOST_TEST_MESSAGE(c.granted << " granted, " << c.upgraded << " upgraded, " << c.busy << " busy, " << c.cancelled
                                 << " cancelled, " << c.lost << " lost, " << c.errors << " errors, " << c.violations
                                 << " violations");
    BOOST_TEST(c.violations == 0);
    BOOST_TEST(c.lost == 0);
    BOOST_TEST(c.errors == 0);
    BOOST_TEST(c.granted > 0);
    BOOST_TEST(c.busy > 0);
    BOOST_TEST(c.cancelled > 0);
}

boost::test_tools::assertion_result is_there(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result yes{rowlock::test::sqlserver().has_value()};
    yes.message() << rowlock::test::no_sqlserver;
    return yes;
}

}  // namespace

BOOST_AUTO_TEST_CASE(on_the_stand_in) {
    auto& server = rowlock::test::postgres_server::shared();
    const auto database = server.new_database();
    server.run_file(database, ROWLOCK_TEST_APPLOCK_STAND_IN);
    stress(server.odbc_connection_string(database));
}

BOOST_TEST_DECORATOR(*boost::unit_test::precondition(is_there))
BOOST_AUTO_TEST_CASE(on_tds) { stress(*rowlock::test::sqlserver()); }
