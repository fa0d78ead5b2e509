#include <rowlock/memory.hpp>

#include <algorithm>
#include <list>
#include <map>
#include <mutex>
#include <stdexcept>

#include <rowlock/error.hpp>

#include <admission.hpp>
#include <condition.hpp>

#include "memory_entry.hpp"

namespace rowlock::memory {
namespace {

using wall_clock = std::chrono::system_clock;

struct holder {
    request_id id;
    lock_mode mode;
    std::string owner;
    fencing_token token;
    wall_clock::time_point since;
};

struct waiter {
    explicit waiter(lock_request r) : request{std::move(r)} {}

    lock_request request;
    wall_clock::time_point since = wall_clock::now();
    std::optional<grant> granted{};
    detail::condition wake{};
};

// One name. The queue is strict: who comes later does not overtake, except an upgrade, which goes to the front because
// nobody else can be served before it.
struct lock_state {
    std::uint64_t last_token;
    std::list<holder> holders{};
    std::list<std::shared_ptr<waiter>> queue{};
    boot_clock::time_point last_grant{};

    [[nodiscard]] holder* find(const request_id& id) {
        const auto found = std::find_if(holders.begin(), holders.end(), [&](const holder& h) { return h.id == id; });
        return found == holders.end() ? nullptr : &*found;
    }

    [[nodiscard]] bool admits(const lock_request& r) const {
        detail::holders count;
        for (const auto& h : holders) count.add(h.mode);
        return count.admit(r);
    }

    grant give(const lock_request& r) {
        const fencing_token token{++last_token};
        last_grant = boot_clock::now();
        if (auto* h = find(r.id)) {  // an upgrade
            h->mode = r.mode;
            h->token = token;
        } else {
            holders.push_back({r.id, r.mode, r.owner, token, wall_clock::now()});
        }
        return {.token = token};
    }

    void settle() {
        while (!queue.empty() && admits(queue.front()->request)) {
            const auto next = queue.front();
            queue.pop_front();
            next->granted = give(next->request);
            next->wake.notify_all();
        }
    }

    [[nodiscard]] bool idle() const { return holders.empty() && queue.empty(); }
};

class memory_backend final : public backend {
    backend_traits do_traits() const override {
        return {.name = "memory",
                .shared_mutex = true,
                .upgrade_mutex = true,
                .semaphore = true,
                .fair = true,
                .tokens = true};
    }

    std::optional<grant> do_try_acquire(const lock_request& r, deadline) override {
        const std::lock_guard lock{mutex_};
        auto& state = names_.try_emplace(r.name, lock_state{floor_}).first->second;
        if (const auto* h = state.find(r.id)) {
            if (h->mode == r.mode) return grant{.token = h->token};
        } else if (r.upgrade) {
            throw lock_lost{"the lock \"" + r.name + "\" was broken before it could be upgraded",
                            {.lock_name = r.name, .backend = "memory"}};
        }
        if ((r.upgrade || state.queue.empty()) && state.admits(r)) return state.give(r);
        if (r.queued) {
            auto w = std::make_shared<waiter>(r);
            state.queue.insert(r.upgrade ? state.queue.begin() : state.queue.end(), w);
            waiters_.emplace(r.id, std::move(w));
        }
        return std::nullopt;
    }

    several_grants do_try_acquire_all(std::span<const lock_request> all, deadline) override {
        const std::lock_guard lock{mutex_};
        const auto taken = std::find_if(all.begin(), all.end(), [&](const lock_request& r) {
            const auto n = names_.find(r.name);
            return n != names_.end() && !(n->second.queue.empty() && n->second.admits(r));
        });
        several_grants got{.busy = static_cast<std::size_t>(taken - all.begin())};
        if (taken == all.end())
            for (const auto& r : all)
                got.all.push_back(names_.try_emplace(r.name, lock_state{floor_}).first->second.give(r));
        return got;
    }

    std::optional<grant> do_await(const lock_request& r, const wait_bound& w, std::chrono::milliseconds) override {
        std::unique_lock lock{mutex_};
        const auto me = waiters_.at(r.id);
        const auto granted = [&] { return me->granted.has_value(); };
        if (me->wake.wait(lock, w, granted)) waiters_.erase(r.id);
        return me->granted;
    }

    std::optional<grant> do_abandon(const lock_request& r, deadline) override {
        const std::lock_guard lock{mutex_};
        const auto found = waiters_.find(r.id);
        if (found == waiters_.end()) return std::nullopt;
        const auto me = found->second;
        waiters_.erase(found);
        if (me->granted) return me->granted;
        auto& state = names_.at(r.name);
        state.queue.remove(me);
        state.settle();  // whoever stood behind may be able to go
        return std::nullopt;
    }

    void do_release(const lock_request& r, deadline) override {
        const std::lock_guard lock{mutex_};
        const auto found = names_.find(r.name);
        broken_.erase(r.id);
        if (found == names_.end()) return;
        found->second.holders.remove_if([&](const holder& h) { return h.id == r.id; });
        found->second.settle();
    }

    renewal do_verify(const lock_request& r, deadline) override {
        const std::lock_guard lock{mutex_};
        const auto found = names_.find(r.name);
        if (found != names_.end() && found->second.find(r.id) != nullptr)
            return {.held = true, .expires_at = boot_clock::time_point::max()};
        if (const auto b = broken_.find(r.id); b != broken_.end())
            return {.held = false, .reason = loss_reason::broken, .detail = b->second};
        return {.held = false};
    }

    std::vector<lock_status> do_inspect(std::string_view prefix, deadline) override {
        const std::lock_guard lock{mutex_};
        std::vector<lock_status> all;
        for (auto n = names_.lower_bound(prefix); n != names_.end() && n->first.starts_with(prefix); ++n) {
            if (n->second.idle()) continue;
            auto& s = all.emplace_back(lock_status{.name = n->first});
            for (const auto& h : n->second.holders)
                s.holders.push_back({.mode = h.mode, .owner = h.owner, .token = h.token, .since = h.since});
            for (const auto& w : n->second.queue)
                s.waiters.push_back({.mode = w->request.mode, .owner = w->request.owner, .since = w->since});
        }
        return all;
    }

    bool do_break(std::string_view name, std::string_view reason, std::string_view by, deadline) override {
        const std::lock_guard lock{mutex_};
        const auto found = names_.find(name);
        if (found == names_.end() || found->second.holders.empty()) return false;
        auto& state = found->second;
        const std::string detail = "broken by " + std::string{by} + ": " + std::string{reason};
        for (const auto& h : state.holders) {
            broken_[h.id] = detail;
            if (listener_) listener_->on_loss(h.id, loss_reason::broken, detail);
        }
        state.holders.clear();
        ++state.last_token;
        state.settle();
        return true;
    }

    std::size_t do_purge(std::chrono::milliseconds idle, deadline) override {
        const std::lock_guard lock{mutex_};
        return std::erase_if(names_, [&](const auto& n) {
            if (!n.second.idle() || boot_clock::now() - n.second.last_grant < idle) return false;
            floor_ = std::max(floor_, n.second.last_token);
            return true;
        });
    }

    void do_listen(listener* l) override {
        const std::lock_guard lock{mutex_};
        listener_ = l;
    }

    std::mutex mutex_;
    std::map<std::string, lock_state, std::less<>> names_;
    std::map<request_id, std::shared_ptr<waiter>> waiters_;
    std::map<request_id, std::string> broken_;  ///< whose lock was broken, until they give it back
    std::uint64_t floor_ = 0;
    listener* listener_ = nullptr;
};

provider open(std::string_view rest, options opt) {
    if (!rest.empty()) throw std::invalid_argument{"nothing may follow \"memory:\" in a database URL"};
    return make(std::move(opt));
}

std::vector<finding> diagnose(std::string_view, const options&) {
    return {{severity::advice, "reach", "the locks of memory: are seen by one process only",
             "use a database for locks that several processes share"}};
}

}  // namespace

const detail::backend_entry entry{"memory:", "memory:", &open, nullptr, &diagnose};

provider make(options opt) { return provider{std::make_unique<memory_backend>(), std::move(opt)}; }

}  // namespace rowlock::memory
