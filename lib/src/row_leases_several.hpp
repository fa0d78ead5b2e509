#pragma once

#include <algorithm>

#include <rowlock/error.hpp>

#include "row_leases.hpp"

namespace rowlock::detail {

template <class Store>
several_grants row_leases<Store>::do_try_acquire_all(std::span<const lock_request> all, deadline d) {
    if constexpr (takes_several)
        return attempt_all(all, d);
    else
        return backend::do_try_acquire_all(all, d);
}

template <class Store>
several_grants row_leases<Store>::attempt_all(std::span<const lock_request> all, deadline d) {
    if (auto found = settle(all, d)) return *found;
    several_grants got;
    const auto waited_for =
        std::find_if(all.begin(), all.end(), [&](const lock_request& r) { return room_.anybody(r.name); });
    got.busy = static_cast<std::size_t>(waited_for - all.begin());
    if (waited_for != all.end()) return got;

    std::vector<keys> k;
    for (const auto& r : all) k.push_back(store_.keys_of(r.name));
    const auto here = sessions_->any(d);
    for (std::size_t tries = 0;; ++tries) {
        const auto before = boot_clock::now();
        several_answer answer;
        try {
            answer = store_.take_all(*here, all, k, sessions_wait_, d);
        } catch (const no_answer&) {
            in_doubt(all);
        }
        if (answer.granted.size() == all.size()) {
            do_begin_to_hold();
            for (const auto& l : answer.granted) {
                record(all[l.at], k[l.at], l.bell ? here.who() : nullptr);
                got.all.push_back({.token = l.token, .expires_at = before + all[l.at].ttl});
            }
            return got;
        }
        try {
            for (const auto& l : answer.granted) store_.release(*here, all[l.at], k[l.at], false, d);
        } catch (const error&) {
            in_doubt(all);
        }
        got.busy = answer.busy;
        if (!answer.dead_parts || tries == all.size()) return got;
        store_.reap(*here, all[got.busy].name, d);
    }
}

template <class Store>
std::optional<several_grants> row_leases<Store>::settle(std::span<const lock_request> all, deadline d) {
    if (!is_in_doubt(all.front())) return std::nullopt;
    const auto here = sessions_->any(d);
    const auto before = boot_clock::now();
    auto found = store_.find_all(*here, all, d);
    if (found.size() < all.size())  // of what is left, none may stay
        for (const auto& l : found) store_.release(*here, all[l.at], store_.keys_of(all[l.at].name), false, d);
    settled(all);
    if (found.size() < all.size()) return std::nullopt;
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
    several_grants got;
    for (const auto& l : found) {
        record(all[l.at], store_.keys_of(all[l.at].name), nullptr);
        got.all.push_back({.token = l.token, .expires_at = before + l.left});
    }
    return got;
}

}  // namespace rowlock::detail
