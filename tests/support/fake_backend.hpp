#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <rowlock/backend.hpp>

#include "slack.hpp"

namespace rowlock::test {

/// What a scripted back end answers, and what it was asked. The test keeps it; the provider owns the back end.
///
/// A hook that is not set gives the answer of a database in which all goes well. Hooks run without any lock, but for
/// `on_renew`, which a thread of the library calls whenever it is time: see `end_of_renewals`.
class fake_database {
public:
    backend_traits traits{.name = "fake", .shared_mutex = true, .upgrade_mutex = true, .leases = true};
    std::chrono::milliseconds lease = std::chrono::seconds{30};

    std::function<std::optional<grant>(const lock_request&)> on_try;
    std::function<several_grants(std::span<const lock_request>)> on_try_all;  ///< of `fake_backend_for_many`
    std::function<std::optional<grant>(const lock_request&, const wait_bound&)> on_await;
    std::function<std::optional<grant>(const lock_request&)> on_abandon;
    std::function<void(const lock_request&)> on_release;
    std::function<std::vector<renewal>(std::span<const lock_request* const>)> on_renew;
    std::mutex renewing;  ///< held while it runs
    std::function<renewal(const lock_request&)> on_verify;

    backend::listener* listener = nullptr;  ///< valid while the provider lives

    [[nodiscard]] boot_clock::time_point end() const { return boot_clock::now() + lease; }
    [[nodiscard]] grant granted(std::uint64_t token = 1) const {
        return {.token = fencing_token{token}, .expires_at = traits.leases ? std::optional{end()} : std::nullopt};
    }

    void note(const std::string& what, const request_id& id) {
        const std::lock_guard lock{mutex_};
        ++counts_[what];
        log_.emplace_back(what, id);
        changed_.notify_all();
    }
    [[nodiscard]] int count(const std::string& what) const {
        const std::lock_guard lock{mutex_};
        const auto found = counts_.find(what);
        return found == counts_.end() ? 0 : found->second;
    }
    [[nodiscard]] std::vector<std::pair<std::string, request_id>> log() const {
        const std::lock_guard lock{mutex_};
        return log_;
    }
    /// False: it was not asked so often in time.
    [[nodiscard]] bool asked(const std::string& what, int times = 1) {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, patience, [&] { return counts_[what] >= times; });
    }

private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, int> counts_;
    std::vector<std::pair<std::string, request_id>> log_;
};

/// Where the variables of a test end that its `on_renew` uses: no call of it is under way after that, nor comes later.
/// Stands after them.
class end_of_renewals {
public:
    explicit end_of_renewals(fake_database& db) : db_{db} {}
    ~end_of_renewals() {
        const std::lock_guard lock{db_.renewing};
        db_.on_renew = nullptr;
    }
    end_of_renewals(const end_of_renewals&) = delete;
    end_of_renewals& operator=(const end_of_renewals&) = delete;

private:
    fake_database& db_;
};

class fake_backend : public backend {
public:
    explicit fake_backend(std::shared_ptr<fake_database> db) : db_{std::move(db)} {}

private:
    backend_traits do_traits() const override { return db_->traits; }

    std::optional<grant> do_try_acquire(const lock_request& r, deadline) override {
        db_->note("try", r.id);
        return db_->on_try ? db_->on_try(r) : db_->granted();
    }
    std::optional<grant> do_await(const lock_request& r, const wait_bound& w, std::chrono::milliseconds) override {
        db_->note("await", r.id);
        if (db_->on_await) return db_->on_await(r, w);
        while (!w.over()) std::this_thread::yield();
        return std::nullopt;
    }
    std::optional<grant> do_abandon(const lock_request& r, deadline) override {
        db_->note("abandon", r.id);
        return db_->on_abandon ? db_->on_abandon(r) : std::nullopt;
    }
    void do_release(const lock_request& r, deadline) override {
        db_->note("release", r.id);
        if (db_->on_release) db_->on_release(r);
    }
    std::vector<renewal> do_renew(std::span<const lock_request* const> held, deadline) override {
        db_->note("renew", held.front()->id);
        const std::lock_guard lock{db_->renewing};
        return db_->on_renew ? db_->on_renew(held) : std::vector<renewal>(held.size(), {.expires_at = db_->end()});
    }
    renewal do_verify(const lock_request& r, deadline) override {
        db_->note("verify", r.id);
        return db_->on_verify ? db_->on_verify(r) : renewal{.expires_at = db_->end()};
    }
    void do_listen(listener* l) override { db_->listener = l; }

protected:
    std::shared_ptr<fake_database> db_;
};

/// One that takes several locks at once by itself, as the database is told by `on_try_all`.
class fake_backend_for_many final : public fake_backend {
public:
    using fake_backend::fake_backend;

private:
    several_grants do_try_acquire_all(std::span<const lock_request> all, deadline) override {
        db_->note("try all", all.front().id);
        return db_->on_try_all(all);
    }
};

}  // namespace rowlock::test
