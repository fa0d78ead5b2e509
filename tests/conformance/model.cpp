// Random steps, each compared with what a model of a few lines says must come out.
#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdlib>
#include <map>
#include <random>

#include <rowlock/error.hpp>

#include "history.hpp"
#include "suite.hpp"

namespace rowlock::conformance {
namespace {

constexpr std::uint32_t permits = 3;

// Written anew from the table in primitive.hpp, not from the library's source.
class model {
public:
    using key = std::uint64_t;
    struct name {
        std::map<key, lock_mode> held;
        fencing_token last{0};
    };

    [[nodiscard]] bool admits(const std::string& n, lock_mode asked) {
        std::array<std::uint32_t, 4> count{};
        for (const auto& [k, mode] : names[n].held) ++count[static_cast<std::size_t>(mode)];
        const auto [exclusive, shared, upgrade, permit] = count;
        switch (asked) {
            case lock_mode::exclusive:
                return exclusive + shared + upgrade + permit == 0;
            case lock_mode::shared:
                return exclusive + permit == 0;
            case lock_mode::upgrade:
                return exclusive + permit + upgrade == 0;
            case lock_mode::permit:
                return exclusive + shared + upgrade == 0 && permit < permits;
        }
        return false;
    }

    std::map<std::string, name> names;
};

class walk {
public:
    walk(context& c, std::shared_ptr<history> past, std::uint64_t seed)
        : past_{std::move(past)},
          place_{c.place()},
          locks_{c.open()},
          inspects_{c.kind().inspects},
          operates_{c.kind().operates},
          purges_{c.kind().purges},
          random_{seed} {
        modes_.push_back(lock_mode::exclusive);
        if (locks_.supports(primitive::shared_mutex)) modes_.push_back(lock_mode::shared);
        if (locks_.supports(primitive::upgrade_mutex)) modes_.push_back(lock_mode::upgrade);
        if (locks_.supports(primitive::semaphore)) modes_.push_back(lock_mode::permit);
    }

    void step() {
        const auto dice = random_() % 100;
        if (dice < 45)
            acquire();
        else if (dice < 75)
            release();
        else if (dice < 83)
            upgrade();
        else if (dice < 90)
            verify();
        else if (dice < 94)
            break_it();
        else if (dice < 97)
            expire();
        else
            look();
    }

    void finish() {
        handles_.clear();
        for (auto& [n, state] : model_.names) BOOST_TEST(locks_.try_acquire(n).has_value(), n << " is free at the end");
    }

private:
    struct entry {
        lock_handle handle;
        std::string name;
    };

    std::string any_name() { return "n" + std::to_string(random_() % 3); }
    std::map<model::key, entry>::iterator any_handle() {
        auto it = handles_.begin();
        if (!handles_.empty()) std::advance(it, static_cast<std::ptrdiff_t>(random_() % handles_.size()));
        return it;
    }
    static std::string words(const entry& e) {
        return std::string{to_string(e.handle.mode())} + " on " + e.name +
               (e.handle.token() ? ", token " + std::to_string(e.handle.token()->value()) : std::string{});
    }
    bool is_held(const std::map<model::key, entry>::iterator& it) {
        return model_.names[it->second.name].held.contains(it->first);
    }
    void check_token(const std::string& n, const lock_handle& h) {
        if (!locks_.traits().tokens) return;
        auto& last = model_.names[n].last;
        BOOST_REQUIRE_MESSAGE(h.token() > last, "the token of " << n << " did not grow");
        last = *h.token();
    }

    void acquire() {
        if (handles_.size() > 12) return release();
        const auto n = any_name();
        const auto mode = modes_[random_() % modes_.size()];
        // Now and then a wait, which must leave no trace when it ends in vain.
        const auto until = random_() % 50 == 0 ? steady::now() + 200us : steady::time_point::min();
        past_->add("try for " + std::string{to_string(mode)} + " on " + n);
        auto got = [&]() -> std::optional<lock_handle> {
            switch (mode) {
                case lock_mode::exclusive:
                    return mutex{locks_, n}.try_acquire_until(until);
                case lock_mode::shared:
                    return shared_mutex{locks_, n}.try_acquire_shared_until(until);
                case lock_mode::upgrade:
                    return upgrade_mutex{locks_, n}.try_acquire_upgrade_until(until);
                case lock_mode::permit:
                    return semaphore{locks_, n, permits}.try_acquire_until(until);
            }
            return {};
        }();
        BOOST_REQUIRE_MESSAGE(got.has_value() == model_.admits(n, mode), to_string(mode) << " on " << n);
        if (!got) return;
        check_token(n, *got);
        model_.names[n].held[++last_key_] = mode;
        past_->add("    granted: " + words(handles_.emplace(last_key_, entry{std::move(*got), n}).first->second));
    }

    void release() {
        const auto it = any_handle();
        if (it == handles_.end()) return;
        past_->add("release " + words(it->second));
        model_.names[it->second.name].held.erase(it->first);
        if (random_() % 2 == 0) it->second.handle.release();
        handles_.erase(it);
    }

    void upgrade() {
        const auto it = any_handle();
        if (it == handles_.end() || it->second.handle.mode() != lock_mode::upgrade) return;
        past_->add("upgrade " + words(it->second));
        auto& held = model_.names[it->second.name].held;
        if (!is_held(it)) {
            BOOST_CHECK_THROW((void)it->second.handle.try_upgrade(), lock_lost);
            return;
        }
        const bool expected = held.size() == 1;
        BOOST_REQUIRE(it->second.handle.try_upgrade() == expected);
        if (!expected) return;
        held[it->first] = lock_mode::exclusive;
        check_token(it->second.name, it->second.handle);
    }

    void verify() {
        const auto it = any_handle();
        if (it == handles_.end()) return;
        past_->add("verify " + words(it->second));
        if (is_held(it))
            it->second.handle.verify();
        else
            BOOST_REQUIRE_THROW(it->second.handle.verify(), lock_lost);
    }

    void break_it() {
        if (!operates_) return;
        const auto n = any_name();
        past_->add("break " + n);
        auto& held = model_.names[n].held;
        BOOST_REQUIRE(locks_.break_lock(n, "model") == !held.empty());
        held.clear();
    }

    void expire() {
        const auto n = any_name();
        past_->add("end the leases of " + n);
        if (place_.expire(n)) model_.names[n].held.clear();
    }

    void look() {
        if (!inspects_) return;
        past_->add("look");
        std::map<std::string, std::size_t> expected, seen;
        for (const auto& [n, state] : model_.names)
            if (!state.held.empty()) expected[n] = state.held.size();
        for (const auto& s : locks_.status()) seen[s.name] = s.holders.size();
        BOOST_REQUIRE(seen == expected);
        if (!purges_ || random_() % 10 != 0) return;
        past_->add("purge");
        (void)locks_.purge(0ms);
    }

    const std::shared_ptr<history> past_;
    store& place_;
    provider locks_;
    const bool inspects_, operates_, purges_;
    std::mt19937_64 random_;
    std::vector<lock_mode> modes_;
    model model_;
    model::key last_key_ = 0;
    std::map<model::key, entry> handles_;
};

void random_steps(context& c) {
    const char* given = std::getenv("ROWLOCK_TEST_SEED");
    const auto seed = given ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    BOOST_TEST_MESSAGE("ROWLOCK_TEST_SEED=" << seed);
    BOOST_TEST_INFO_SCOPE("ROWLOCK_TEST_SEED=" << seed << " repeats this walk");
    const auto past = std::make_shared<history>();
    c.use({.events = past});
    walk w{c, past, seed};
    const int steps = rounds(20000);
    try {
        for (int i = 0; i < steps; ++i) {
            BOOST_TEST_INFO("step " << i);
            w.step();
        }
    } catch (...) {
        BOOST_ERROR("How it came to that:\n" << past->text() << c.place().contents());
        throw;
    }
    w.finish();
}

}  // namespace

void add_model_cases(case_list& cases) { cases.push_back({"random_steps_agree_with_a_model", random_steps}); }

}  // namespace rowlock::conformance
