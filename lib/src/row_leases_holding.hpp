#pragma once

#include <algorithm>
#include <iterator>
#include <map>

#include <rowlock/error.hpp>

#include "row_leases.hpp"

namespace rowlock::detail {

template <class Store>
row_leases<Store>::row_leases(Store store, bool sessions_wait,
                              const std::function<std::unique_ptr<source>(typename source::gone_function)>& make)
    : store_{std::move(store)}, sessions_wait_{sessions_wait}, sessions_{make([this](member& m, const std::string&) {
          session_gone(m);
      })} {}

template <class Store>
row_leases<Store>::~row_leases() {
    row_leases::do_listen(nullptr);
}

template <class Store>
backend_traits row_leases<Store>::do_traits() const {
    return {.name = name,
            .shared_mutex = true,
            .upgrade_mutex = true,
            .semaphore = true,
            .leases = true,
            .fair = sessions_wait_,
            .tokens = true};
}

template <class Store>
void row_leases<Store>::do_listen(listener* l) {
    const std::lock_guard lock{listening_};
    listener_ = l;
}

template <class Store>
void row_leases<Store>::doubt() {
    const std::lock_guard lock{listening_};
    if (listener_) listener_->on_doubt();
}

// --- holding --------------------------------------------------------------------------------------------------------

template <class Store>
void row_leases<Store>::record(const lock_request& r, const keys& k, std::shared_ptr<member> bell) {
    if (bell) ++bell->locks;
    const auto bell_mode = r.mode == lock_mode::exclusive && !r.upgrade ? lock_mode::exclusive : lock_mode::shared;
    const std::lock_guard lock{mutex_};
    holdings_.insert_or_assign(r.id, holding{r.mode, k, std::move(bell), bell_mode});
}

template <class Store>
auto row_leases<Store>::take_holding(const request_id& id) -> std::optional<holding> {
    const std::lock_guard lock{mutex_};
    const auto found = holdings_.find(id);
    if (found == holdings_.end()) return std::nullopt;
    auto h = std::move(found->second);
    holdings_.erase(found);
    return h;
}

template <class Store>
void row_leases<Store>::session_gone(const member& m) {
    const std::lock_guard lock{mutex_};
    for (auto& [id, h] : holdings_)
        if (h.bell.get() == &m) h.bell = nullptr;
}

template <class Store>
void row_leases<Store>::do_release(const lock_request& r, deadline d) {
    const auto h = take_holding(r.id);
    const auto k = h ? h->k : store_.keys_of(r.name);
    if (h && h->bell) {
        try {
            const auto here = session_of_bell(r.id, *h, d);
            const bool same_mode = h->bell_mode == (r.mode == lock_mode::exclusive ? r.mode : lock_mode::shared);
            store_.release(*here, r, k, same_mode, d);
            if (!same_mode) store_.release_bell(*here, h->bell_mode, k, d);
            --h->bell->locks;
            return;
        } catch (const no_answer&) {  // the bell went with its session; the row is still to be written
        } catch (const error&) {      // whoever writes the row later knows nothing of the bell
            if (!is_known(r.id)) give_bell_back(*h, d);
            throw;
        }
    }
    ask_any(d, [&](session& s) { store_.release(s, r, k, false, d); });
}

// Where others use it until the time is over, the lease is still to be released, bell and all.
template <class Store>
auto row_leases<Store>::session_of_bell(const request_id& id, const holding& h, deadline d) -> use {
    try {
        return sessions_->that(h.bell, d);
    } catch (const no_answer&) {
        throw;
    } catch (const error&) {
        const std::lock_guard lock{mutex_};
        holdings_.emplace(id, h);
        throw;
    }
}

template <class Store>
bool row_leases<Store>::is_known(const request_id& id) const {
    const std::lock_guard lock{mutex_};
    return holdings_.contains(id);
}

template <class Store>
void row_leases<Store>::give_bell_back(const holding& h, deadline d) {
    if (!h.bell) return;
    try {
        const auto here = sessions_->that(h.bell, d);
        store_.release_bell(*here, h.bell_mode, h.k, d);
        --h.bell->locks;
    } catch (const error&) {  // it goes with its session
    }
}

template <class Store>
renewal row_leases<Store>::loss_of(session& s, const lock_request& r, deadline d) {
    const auto number = static_cast<std::int64_t>(r.id.number);
    auto broken = store_.breaks(s, r.id.provider, {&number, 1}, d);
    if (!broken.empty())
        return {.held = false, .reason = loss_reason::broken, .detail = std::move(broken.begin()->second)};
    return {.held = false, .reason = loss_reason::expired, .detail = "the lease ended before it was renewed"};
}

template <class Store>
std::vector<renewal> row_leases<Store>::do_renew(std::span<const lock_request* const> held, deadline d) {
    const auto before = boot_clock::now();
    std::vector<renewal> answers;
    std::vector<request_id> lost;
    {
        const auto here = sessions_->any(d);
        auto renewed = store_.renew(*here, held, d);
        // One that was upgraded meanwhile has moved to another row, where a statement that began before does not see
        // it.
        std::vector<const lock_request*> missing;
        const auto is_missing = [&](const lock_request* r) { return !renewed.contains(r->id.number); };
        std::copy_if(held.begin(), held.end(), std::back_inserter(missing), is_missing);
        if (!missing.empty()) renewed.merge(store_.renew(*here, missing, d));
        std::vector<std::int64_t> numbers;
        for (const auto* r : held)
            if (is_missing(r)) numbers.push_back(static_cast<std::int64_t>(r->id.number));
        auto broken = numbers.empty() ? std::unordered_map<std::uint64_t, std::string>{}
                                      : store_.breaks(*here, held.front()->id.provider, numbers, d);
        for (const auto* r : held) {
            if (renewed.contains(r->id.number)) {
                answers.push_back({.expires_at = before + r->ttl});
                continue;
            }
            lost.push_back(r->id);
            if (const auto why = broken.find(r->id.number); why != broken.end())
                answers.push_back({.held = false, .reason = loss_reason::broken, .detail = why->second});
            else
                answers.push_back(
                    {.held = false, .reason = loss_reason::expired, .detail = "the lease ended before it was renewed"});
        }
    }
    for (const auto& id : lost)  // somebody may be waiting for it
        if (const auto h = take_holding(id)) give_bell_back(*h, d);
    return answers;
}

template <class Store>
renewal row_leases<Store>::do_verify(const lock_request& r, deadline d) {
    return ask_any(d, [&](session& s) { return store_.find(s, r, d) ? renewal{} : loss_of(s, r, d); });
}

// --- operating ------------------------------------------------------------------------------------------------------

template <class Store>
std::vector<lock_status> row_leases<Store>::do_inspect(std::string_view prefix, deadline d) {
    const auto here = sessions_->any(d);
    const auto rows = store_.rows(*here, prefix, d);
    std::map<std::string, lock_status> all;
    for (const auto& r : rows) {
        auto& status = all.try_emplace(r.name, lock_status{.name = r.name}).first->second;
        if (r.holder) status.holders.push_back(*r.holder);
        if (r.waiter) status.waiters.push_back(*r.waiter);
    }
    std::vector<std::string> names;
    for (const auto& [n, status] : all) names.push_back(n);
    for (auto& [n, who] : store_.waiters(*here, names, d)) all.at(n).waiters.push_back(std::move(who));
    // Where no session can queue, one's own waiters are all that can be seen.
    for (auto& [n, who] : Store::sees_waiters&& sessions_wait_ ? room_.behind_the_first() : room_.everybody())
        if (const auto status = all.find(n); status != all.end()) status->second.waiters.push_back(std::move(who));
    std::vector<lock_status> sorted;
    for (auto& [n, status] : all)
        if (!status.holders.empty() || !status.waiters.empty()) sorted.push_back(std::move(status));
    return sorted;
}

template <class Store>
bool row_leases<Store>::do_break(std::string_view n, std::string_view reason, std::string_view by, deadline d) {
    const bool broken = store_.break_all(*sessions_->any(d), n, reason, by, d) > 0;
    if (broken && !Store::tells_of_breaks) doubt();
    return broken;
}

template <class Store>
std::size_t row_leases<Store>::do_purge(std::chrono::milliseconds idle, deadline d) {
    return store_.purge(*sessions_->any(d), idle, d);
}

}  // namespace rowlock::detail
