#include "waiting_room.hpp"

#include <algorithm>
#include <random>
#include <stop_token>
#include <utility>

namespace rowlock::detail {

bool waiting_room::anybody(std::string_view name) const {
    if (!any_) return false;
    const std::lock_guard lock{mutex_};
    return queues_.contains(name);
}

void waiting_room::join(const lock_request& r, bool asked) {
    const std::lock_guard lock{mutex_};
    if (waiters_.contains(r.id)) return;
    auto w = std::make_shared<waiter>(r, asked);
    queues_[r.name].push_back(w);
    waiters_.emplace(r.id, std::move(w));
    any_ = true;
}

bool waiting_room::ask(const request_id& id) {
    const std::lock_guard lock{mutex_};
    const auto found = waiters_.find(id);
    return found == waiters_.end() || std::exchange(found->second->asked, true);
}

bool waiting_room::leave(const request_id& id) {
    const std::lock_guard lock{mutex_};
    const auto found = waiters_.find(id);
    if (found == waiters_.end()) return true;
    const auto queue = queues_.find(found->second->name);
    const bool asked = found->second->asked || queue->second.front() != found->second;
    queue->second.erase(std::find(queue->second.begin(), queue->second.end(), found->second));
    waiters_.erase(found);
    any_ = !waiters_.empty();
    if (queue->second.empty())
        queues_.erase(queue);
    else
        queue->second.front()->turn.notify_all();
    return asked;
}

bool waiting_room::await_turn(const request_id& id, const wait_bound& w) {
    std::unique_lock lock{mutex_};
    const auto found = waiters_.find(id);
    if (found == waiters_.end()) return false;
    const auto me = found->second;
    return me->turn.wait(lock, w, [&] {
        const auto queue = queues_.find(me->name);
        return queue != queues_.end() && queue->second.front() == me;
    });
}

std::vector<waiting_room::place> waiting_room::everybody() const { return from(0); }

std::vector<waiting_room::place> waiting_room::behind_the_first() const { return from(1); }

std::vector<waiting_room::place> waiting_room::from(std::size_t first) const {
    std::vector<place> all;
    const std::lock_guard lock{mutex_};
    for (const auto& [name, queue] : queues_)
        for (std::size_t i = first; i < queue.size(); ++i) all.push_back({name, queue[i]->status});
    return all;
}

void pause(std::chrono::milliseconds shortest, const wait_bound& w) {
    thread_local std::minstd_rand random{std::random_device{}()};
    const std::chrono::duration<double, std::milli> time{std::uniform_real_distribution{1.0, 2.0}(random) *
                                                         static_cast<double>(shortest.count())};
    std::mutex mutex;
    std::unique_lock lock{mutex};
    condition never;
    (void)never.wait(lock, {std::min(w.until, deadline::after(time)), w.stop}, [] { return false; });
}

}  // namespace rowlock::detail
