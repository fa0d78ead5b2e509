#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <rowlock/observer.hpp>

#include "slack.hpp"

namespace rowlock::test {

/// An observer that writes down what it hears, and can be waited for.
class recorder : public observer {
public:
    struct entry {
        std::string what, name, backend, detail;
        std::optional<fencing_token> token;
        std::optional<loss_reason> reason;
        std::chrono::nanoseconds duration;
    };

    void granted(const lock_event& e) override { note("granted", e); }
    void busy(const lock_event& e) override { note("busy", e); }
    void timed_out(const lock_event& e) override { note("timed_out", e); }
    void cancelled(const lock_event& e) override { note("cancelled", e); }
    void released(const lock_event& e) override { note("released", e); }
    void lost(const lock_event& e) override { note("lost", e); }
    void renewed(const lock_event& e) override { note("renewed", e); }
    void renewal_failed(const lock_event& e) override { note("renewal_failed", e); }
    void release_failed(const lock_event& e) override { note("release_failed", e); }

    [[nodiscard]] std::vector<entry> all() const {
        const std::lock_guard lock{mutex_};
        return entries_;
    }
    /// Without renewals, whose number depends on the machine's speed.
    [[nodiscard]] std::vector<std::string> words() const {
        std::vector<std::string> all_words;
        for (const auto& e : all())
            if (e.what != "renewed") all_words.push_back(e.what);
        return all_words;
    }
    [[nodiscard]] int count(const std::string& what) const {
        int n = 0;
        for (const auto& e : all()) n += e.what == what;
        return n;
    }
    [[nodiscard]] bool heard(const std::string& what, int times = 1) {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, patience, [&] {
            int n = 0;
            for (const auto& e : entries_) n += e.what == what;
            return n >= times;
        });
    }

private:
    void note(const char* what, const lock_event& e) {
        const std::lock_guard lock{mutex_};
        entries_.push_back(
            {what, std::string{e.name}, std::string{e.backend}, std::string{e.detail}, e.token, e.reason, e.duration});
        changed_.notify_all();
    }

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<entry> entries_;
};

/// An observer that throws whatever happens.
struct throwing_observer final : observer {
    void granted(const lock_event&) override { throw 1; }
    void busy(const lock_event&) override { throw 2; }
    void timed_out(const lock_event&) override { throw 3; }
    void cancelled(const lock_event&) override { throw 4; }
    void released(const lock_event&) override { throw 5; }
    void lost(const lock_event&) override { throw 6; }
    void renewed(const lock_event&) override { throw 7; }
    void renewal_failed(const lock_event&) override { throw 8; }
    void release_failed(const lock_event&) override { throw 9; }
};

}  // namespace rowlock::test
