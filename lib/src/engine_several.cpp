// Several names at once: the first question is one for all of them.
#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include <rowlock/error.hpp>

#include "engine.hpp"
#include "names.hpp"

namespace rowlock::detail {

std::optional<std::vector<lock_handle>> engine::acquire_all(std::span<const std::string> names, const wait_bound& w) {
    (void)database();
    std::vector<std::string> order;
    for (const auto& name : names) order.push_back(full_name(options_.key_prefix, name));  // a bad name takes nothing
    std::sort(order.begin(), order.end());
    order.erase(std::unique(order.begin(), order.end()), order.end());

    // One question for all of them. Who waits then stands in one queue after the other, in the order that all keep to.
    if (order.size() > 1 && !w.stop.stop_requested()) {
        const bool last_try = w.until.expired();
        if (auto all = try_all(order, last_try); all || last_try) return all;
    }
    std::vector<lock_handle> all;
    all.reserve(order.size());
    for (const auto& name : order) {
        auto one = acquire(name, lock_mode::exclusive, 1, w);
        if (!one) return std::nullopt;
        all.push_back(std::move(*one));
    }
    return all;
}

std::optional<std::vector<lock_handle>> engine::try_all(std::span<const std::string> names, bool last_try) {
    const auto started = events_.now();
    std::vector<std::shared_ptr<held_lock>> locks;
    std::vector<lock_request> requests;
    for (const auto& name : names) {
        locks.push_back(new_lock(name, lock_mode::exclusive, 1, false));
        requests.push_back(locks.back()->request());
    }
    const auto forget = [&] {
        for (const auto& l : locks) locks_.remove(*l);
    };
    for (const auto& l : locks) locks_.add(l);
    several_grants got;
    try {
        got = ask(requests);
    } catch (...) {
        forget();
        throw;
    }
    if (got.all.empty()) {
        forget();
        if (last_try) tell(&observer::busy, *locks.at(got.busy), started);
        return std::nullopt;
    }
    std::vector<lock_handle> handles;
    handles.reserve(locks.size());
    for (std::size_t i = 0; i < locks.size(); ++i)
        handles.push_back(hand_over(locks[i], got.all[i], lock_mode::exclusive));
    for (const auto& l : locks) tell(&observer::granted, *l, started);
    return handles;
}

// As for a single one. A second answer says nothing of what the first question may have brought, unless it is a grant.
several_grants engine::ask(std::span<const lock_request> all) {
    const auto question = [&] {
        auto got = backend_->try_acquire_all(all, operation_deadline());
        if (!got.all.empty() && got.all.size() != all.size())
            throw std::logic_error{"the back end did not answer for every lock"};
        return got;
    };
    const auto owe = [&] {
        for (const auto& r : all) keeper_.owe(r);
    };
    try {
        return question();
    } catch (const in_doubt_error&) {
        const auto doubt = std::current_exception();
        try {
            auto got = question();
            if (got.all.empty()) owe();
            return got;
        } catch (...) {
            owe();
            std::rethrow_exception(doubt);
        }
    }
}

}  // namespace rowlock::detail
