#pragma once

#include <deque>
#include <mutex>
#include <string>
#include <utility>

#include <rowlock/observer.hpp>

namespace rowlock::conformance {

/// The last things that were done, and what was heard from other threads meanwhile, in one order: for the message of a
/// test that fails.
class history final : public observer {
public:
    void add(std::string line) {
        const std::lock_guard lock{mutex_};
        lines_.push_back(std::move(line));
        if (lines_.size() > 60) lines_.pop_front();
    }
    [[nodiscard]] std::string text() const {
        std::string all;
        const std::lock_guard lock{mutex_};
        for (const auto& line : lines_) all += line + "\n";
        return all;
    }

    void lost(const lock_event& e) override { hear("lost", e); }
    void renewal_failed(const lock_event& e) override { hear("renewal failed", e); }
    void release_failed(const lock_event& e) override { hear("release failed", e); }

private:
    void hear(const char* what, const lock_event& e) {
        add("    " + std::string{what} + ": " + std::string{to_string(e.mode)} + " on " + std::string{e.name} +
            (e.token ? ", token " + std::to_string(e.token->value()) : std::string{}) +
            (e.reason ? ", " + std::string{to_string(*e.reason)} : std::string{}) + ", " + std::string{e.detail});
    }

    mutable std::mutex mutex_;
    std::deque<std::string> lines_;
};

}  // namespace rowlock::conformance
