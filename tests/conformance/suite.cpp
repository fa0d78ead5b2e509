#include "suite.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdlib>

namespace rowlock::conformance {
namespace {

template <class Primitive, class... Arguments>
mutex_like exclusive_side(const provider& locks, std::string_view name, Arguments... arguments) {
    const auto p = std::make_shared<Primitive>(locks, name, arguments...);
    return mutex_like{[p](deadline d, std::stop_token s) { return p->try_acquire_until(d.at(), std::move(s)); }};
}

}  // namespace

const std::vector<mutex_kind>& mutex_kinds() {
    static const std::vector<mutex_kind> all{
        {"mutex", primitive::mutex, "exclusive", 0,
         [](const provider& p, std::string_view n) { return exclusive_side<mutex>(p, n); }},
        {"mutex_from_shared_mutex", primitive::shared_mutex, "exclusive", 0,
         [](const provider& p, std::string_view n) { return exclusive_side<shared_mutex>(p, n); }},
        {"mutex_from_upgrade_mutex", primitive::upgrade_mutex, "exclusive", 0,
         [](const provider& p, std::string_view n) { return exclusive_side<upgrade_mutex>(p, n); }},
        {"mutex_from_semaphore_1", primitive::semaphore, "permit/1", 0,
         [](const provider& p, std::string_view n) { return exclusive_side<semaphore>(p, n, 1); }},
        {"mutex_from_semaphore_5", primitive::semaphore, "permit/5", 4,
         [](const provider& p, std::string_view n) { return exclusive_side<semaphore>(p, n, 5); }},
    };
    return all;
}

mutex_like context::mutex(const provider& locks, std::string_view name) {
    if (how_.permits_taken > 0 &&
        std::none_of(taken_.begin(), taken_.end(), [&](const auto& t) { return t.first == name; })) {
        auto& [taken_name, handles] = taken_.emplace_back(std::string{name}, std::vector<lock_handle>{});
        for (int i = 0; i < how_.permits_taken; ++i) handles.push_back(how_.make(locks, name).try_acquire().value());
    }
    return how_.make(locks, name);
}

bool context::waiting(provider& locks, std::size_t count, std::string_view name) {
    if (!kind_.inspects) return true;
    return eventually([&] {
        const auto queued = place().waiters_in_database(name);
        if (queued && (*queued > 0) != (count > 0)) return false;
        const auto all = locks.status();
        const auto s = std::find_if(all.begin(), all.end(), [&](const lock_status& l) { return l.name == name; });
        return std::max(s == all.end() ? 0 : s->waiters.size(), queued.value_or(0)) == count;
    });
}

void context::check_free(std::string_view name) {
    const auto locks = open();
    BOOST_TEST(mutex(locks, name).try_acquire().has_value(), "\"" << name << "\" is free");
}

int rounds(int normally) {
    static const bool full = std::getenv("ROWLOCK_TEST_FULL") != nullptr;
    return full ? normally * 10 : normally / test::slowness;
}

}  // namespace rowlock::conformance
