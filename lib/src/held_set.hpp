#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "held_lock.hpp"

namespace rowlock::detail {

/// Every acquisition of one provider that is not released yet, by its number.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class held_set {
public:
    void add(const std::shared_ptr<held_lock>& h) {
        const std::lock_guard lock{mutex_};
        locks_.emplace(h->id().number, h);
    }

    void remove(const held_lock& h) {
        const std::lock_guard lock{mutex_};
        locks_.erase(h.id().number);
    }

    [[nodiscard]] std::shared_ptr<held_lock> find(const request_id& id) const {
        const std::lock_guard lock{mutex_};
        const auto found = locks_.find(id.number);
        return found == locks_.end() || found->second->id() != id ? nullptr : found->second;
    }

    /// Those that are held at this moment.
    [[nodiscard]] std::vector<std::shared_ptr<held_lock>> held() const {
        std::vector<std::shared_ptr<held_lock>> all;
        const std::lock_guard lock{mutex_};
        all.reserve(locks_.size());
        for (const auto& [number, h] : locks_)
            if (h->now() == held_lock::phase::held) all.push_back(h);
        return all;
    }

private:
    mutable std::mutex mutex_;
    std::unordered_map<std::uint64_t, std::shared_ptr<held_lock>> locks_;
};

}  // namespace rowlock::detail
