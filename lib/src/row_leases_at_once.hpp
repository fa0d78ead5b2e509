#pragma once

#include <algorithm>

#include <rowlock/error.hpp>

#include "row_leases.hpp"

namespace rowlock::detail {

/// Row leases where the `Store` can take several at once: `take_all(s, requests, keys, bell)`, a `several_answer`, and
/// `find_all(s, requests)`, the `several_lease`s among them that are held.
template <class Store>
class row_leases_at_once : public row_leases<Store> {
protected:
    using row_leases<Store>::row_leases;

private:
    several_grants do_try_acquire_all(std::span<const lock_request> all, deadline d) override;
    std::optional<several_grants> settle_all(std::span<const lock_request> all, deadline d);
};

template <class Store>
several_grants row_leases_at_once<Store>::do_try_acquire_all(std::span<const lock_request> all, deadline d) {
    if (auto found = settle_all(all, d)) return *found;
    several_grants got;
    const auto waited_for =
        std::find_if(all.begin(), all.end(), [&](const lock_request& r) { return this->room_.anybody(r.name); });
    got.busy = static_cast<std::size_t>(waited_for - all.begin());
    if (waited_for != all.end()) return got;

    std::vector<typename Store::keys> k;
    for (const auto& r : all) k.push_back(this->store_.keys_of(r.name));
    const auto here = this->sessions_->any(d);
    std::size_t reaped = 0;
    for (int tries = 0;; ++tries) {
        const auto before = boot_clock::now();
        several_answer answer;
        try {
            answer = this->store_.take_all(*here, all, k, this->sessions_wait_, d);
        } catch (const no_answer&) {
            this->in_doubt(all);
        }
        if (answer.granted.size() == all.size()) {
            this->do_begin_to_hold(*here.who());
            for (const auto& l : answer.granted) {
                this->record(all[l.at], k[l.at], l.bell ? here.who() : nullptr);
                got.all.push_back({.token = l.token, .expires_at = before + all[l.at].ttl});
            }
            return got;
        }
        try {
            for (const auto& l : answer.granted) this->store_.release(*here, all[l.at], k[l.at], false, d);
        } catch (const error&) {
            this->in_doubt(all);
        }
        got.busy = answer.busy;
        const bool dead = answer.dead_parts && reaped++ < all.size();
        if (dead) this->store_.reap(*here, all[got.busy].name, d);
        if (!dead && !(answer.contended && this->let_others_write(tries, d))) return got;
    }
}

template <class Store>
std::optional<several_grants> row_leases_at_once<Store>::settle_all(std::span<const lock_request> all, deadline d) {
    if (!this->is_in_doubt(all.front())) return std::nullopt;
    const auto here = this->sessions_->any(d);
    const auto before = boot_clock::now();
    auto found = this->store_.find_all(*here, all, d);
    if (found.size() < all.size())  // of what is left, none may stay
        for (const auto& l : found)
            this->store_.release(*here, all[l.at], this->store_.keys_of(all[l.at].name), false, d);
    this->settled(all);
    if (found.size() < all.size()) return std::nullopt;
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.at < b.at; });
    several_grants got;
    for (const auto& l : found) {
        this->record(all[l.at], this->store_.keys_of(all[l.at].name), nullptr);
        got.all.push_back({.token = l.token, .expires_at = before + l.left});
    }
    return got;
}

}  // namespace rowlock::detail
