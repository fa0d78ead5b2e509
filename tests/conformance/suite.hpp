#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <rowlock/rowlock.hpp>

#include <support/background.hpp>
#include <support/eventually.hpp>
#include <support/recorder.hpp>
#include <support/slack.hpp>

#include "provider_kind.hpp"

namespace rowlock::conformance {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;
using test::eventually;
using test::in_background;
using test::patience;
using test::slack;
using test::throws;

/// Anything of which one at a time has a name: a mutex, the exclusive side of another primitive, or the last permit.
class mutex_like {
public:
    using take_function = std::function<std::optional<lock_handle>(deadline, std::stop_token)>;
    explicit mutex_like(take_function take) : take_{std::move(take)} {}

    std::optional<lock_handle> try_acquire() { return take_(deadline::passed(), {}); }
    template <class Duration>
    std::optional<lock_handle> try_acquire_for(Duration d, std::stop_token stop = {}) {
        return take_(deadline::after(d), std::move(stop));
    }
    std::optional<lock_handle> try_acquire_until(steady::time_point at, std::stop_token stop = {}) {
        return take_(deadline{at}, std::move(stop));
    }
    lock_handle acquire(std::stop_token stop = {}) { return take_(deadline::never(), std::move(stop)).value(); }

private:
    take_function take_;
};

/// How a mutex-like thing is made.
struct mutex_kind {
    std::string name;
    primitive built_on;
    std::string actor_mode;  ///< how an actor is told to take it
    int permits_taken = 0;   ///< of the semaphore, by somebody else, before the test may have the last one
    std::function<mutex_like(const provider&, std::string_view)> make;
};
[[nodiscard]] const std::vector<mutex_kind>& mutex_kinds();

/// What a test case gets: a store of its own, and how to make what it tests.
class context {
public:
    context(const provider_kind& kind, const mutex_kind& how) : kind_{kind}, how_{how} {}

    /// Opens the store with other options than the defaults; at most once, before anything else.
    void use(options opt) { place_ = kind_.make_store(std::move(opt)); }

    [[nodiscard]] store& place() {
        if (!place_) use({});
        return *place_;
    }
    [[nodiscard]] provider open() { return place().open(); }
    /// The thing to be tested. What must be taken beforehand is taken at the first call for a name.
    [[nodiscard]] mutex_like mutex(const provider& locks, std::string_view name = "n");
    [[nodiscard]] const std::string& actor_mode() const noexcept { return how_.actor_mode; }
    [[nodiscard]] const provider_kind& kind() const noexcept { return kind_; }
    [[nodiscard]] bool is_plain() const noexcept { return how_.built_on == primitive::mutex; }

    /// Waits until `count` wait for `name`. True at once where a back end cannot be asked.
    [[nodiscard]] bool waiting(provider& locks, std::size_t count, std::string_view name = "n");

    /// After the death of a process that held `name`: ends its lease where that is not seen by itself.
    void bury(std::string_view name = "n") {
        if (!kind_.sees_death) place().expire(name);
    }

    /// Takes an exclusive lock, shows that it is free.
    void check_free(std::string_view name = "n");

private:
    const provider_kind& kind_;
    const mutex_kind& how_;
    std::unique_ptr<store> place_;
    std::vector<std::pair<std::string, std::vector<lock_handle>>> taken_;
};

/// What a case needs of a provider; where it is missing, the case is skipped with that as its reason.
enum class need : unsigned {
    nothing = 0,
    tokens = 1,
    fair = 2,
    processes = 4,
    inspection = 8,
    expiry = 16,
    operation = 32,
    purging = 64,
    renewal = 128  ///< its locks do not end as long as the provider lives
};
constexpr need operator|(need a, need b) {
    return static_cast<need>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(need set, need one) { return (static_cast<unsigned>(set) & static_cast<unsigned>(one)) != 0; }

struct test_case {
    const char* name;
    void (*run)(context&);
    need needs = need::nothing;
};
using case_list = std::vector<test_case>;

// One function for each file with cases.
void add_exclusion_cases(case_list& cases);
void add_waiting_cases(case_list& cases);
void add_cancelling_cases(case_list& cases);
void add_token_cases(case_list& cases);
void add_handle_cases(case_list& cases);
void add_name_cases(case_list& cases);
void add_several_cases(case_list& cases);
void add_operating_cases(case_list& cases);
void add_observing_cases(case_list& cases);
void add_model_cases(case_list& cases);
void add_shared_cases(case_list& cases);
void add_upgrade_cases(case_list& cases);
void add_semaphore_cases(case_list& cases);

/// More rounds when ROWLOCK_TEST_FULL is set.
[[nodiscard]] int rounds(int normally);

}  // namespace rowlock::conformance
