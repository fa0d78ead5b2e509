#include "lease_keeper.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace rowlock::detail {
namespace {

using namespace std::chrono_literals;

std::string message_of(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const std::exception& e) {
        return e.what();
    } catch (...) {
        return "an exception that is no std::exception";
    }
}

}  // namespace

lease_keeper::lease_keeper(backend& b, const options& opt, const held_set& locks, const event_sink& events)
    : backend_{b},
      leases_{b.traits().leases},
      renews_{leases_ && !b.traits().renewed_by_verify},
      interval_{opt.ttl / 3},
      pause_after_failure_{std::clamp<boot_clock::duration>(opt.ttl / 20, 1ms, 1s)},
      operation_timeout_{opt.operation_timeout},
      ttl_{opt.ttl},
      locks_{locks},
      events_{events},
      renewing_{[this] { return std::min(pay(), renews_ ? renew_all() : boot_clock::time_point::max()); }},
      watching_{[this] { return look_at_the_clock(); }} {
    backend_.listen(this);
}

lease_keeper::~lease_keeper() {
    backend_.listen(nullptr);
    renewing_.stop();
    watching_.stop();
}

void lease_keeper::watch(const held_lock& h, const grant& g) {
    if (!leases_) return;
    // A doubt may have come while the answer was under way, when there was nothing to look at.
    const bool doubtful = g.expires_at && doubted_.load() + ttl_ >= *g.expires_at;
    if (renews_) renewing_.run_by(doubtful ? boot_clock::time_point::min() : boot_clock::now() + interval_);
    watching_.run_by(h.usable_until());
}

void lease_keeper::owe(lock_request r) {
    {
        const std::lock_guard lock{mutex_};
        debts_.push_back({std::move(r), boot_clock::now() + ttl_});
    }
    renewing_.run_now();
}

void lease_keeper::on_loss(const request_id& id, loss_reason reason, std::string_view detail) noexcept {
    {
        const std::lock_guard lock{mutex_};
        losses_.push_back({id, reason, std::string{detail}});
    }
    watching_.run_now();
}

void lease_keeper::on_doubt() noexcept {
    doubted_ = boot_clock::now();
    renewing_.run_now();
}

boot_clock::time_point lease_keeper::renew_all() {
    const auto started = boot_clock::now();
    const auto locks = locks_.held();
    if (locks.empty()) return boot_clock::time_point::max();

    std::vector<lock_request> requests;
    std::vector<const lock_request*> pointers;
    requests.reserve(locks.size());
    pointers.reserve(locks.size());
    for (const auto& h : locks) pointers.push_back(&requests.emplace_back(h->request()));

    std::vector<renewal> answers;
    try {
        answers = backend_.renew(pointers, deadline::after(operation_timeout_));
        if (answers.size() != locks.size()) throw std::logic_error{"the back end did not answer for every lease"};
    } catch (...) {
        const auto what = message_of(std::current_exception());
        for (const auto& h : locks) {
            auto e = h->event();
            e.detail = what;
            events_.tell(&observer::renewal_failed, e);
        }
        return boot_clock::now() + pause_after_failure_;
    }
    for (std::size_t i = 0; i < locks.size(); ++i) {
        if (!answers[i].held) {
            locks[i]->lose(answers[i].reason, std::move(answers[i].detail), events_);
            continue;
        }
        locks[i]->extended(answers[i].expires_at);
        events_.tell(&observer::renewed, locks[i]->event());
    }
    return started + interval_;
}

boot_clock::time_point lease_keeper::pay() {
    std::vector<debt> due;
    {
        const std::lock_guard lock{mutex_};
        due = std::exchange(debts_, {});
    }
    bool left = false;
    for (auto& d : due) {
        try {
            (void)backend_.abandon(d.request, deadline::after(operation_timeout_));
            if (!d.request.upgrade) backend_.release(d.request, deadline::after(operation_timeout_));
        } catch (...) {
            if (boot_clock::now() >= d.ends) continue;  // the lease is over: nothing is owed any more
            const std::lock_guard lock{mutex_};
            debts_.push_back(std::move(d));
            left = true;
        }
    }
    return left ? boot_clock::now() + pause_after_failure_ : boot_clock::time_point::max();
}

boot_clock::time_point lease_keeper::look_at_the_clock() {
    std::vector<loss> losses;
    {
        const std::lock_guard lock{mutex_};
        losses = std::exchange(losses_, {});
    }
    for (auto& l : losses)
        if (const auto h = locks_.find(l.id)) h->lose(l.reason, std::move(l.detail), events_);

    auto next = boot_clock::time_point::max();
    for (const auto& h : locks_.held()) {
        h->lose_if_expired(boot_clock::now(), events_);
        if (h->now() == held_lock::phase::held) next = std::min(next, h->usable_until());
    }
    return next;
}

}  // namespace rowlock::detail
