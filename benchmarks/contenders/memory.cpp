#include <map>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <string>

#include "back_ends.hpp"

// The standard library's own, which knows no names, deadlines, owners or losses: what a lock costs in one process.

namespace bench {
namespace {

struct standard_locks {
    std::mutex mutex{};
    std::timed_mutex timed{};
    std::shared_mutex shared{};
    std::counting_semaphore<> permits{4};
};

standard_locks& named(const std::string& name) {
    static std::mutex guard;
    static std::map<std::string, standard_locks> all;
    const std::lock_guard lock{guard};
    return all[name];
}

class plain final : public client {
public:
    explicit plain(std::mutex& m) : mutex_{m} {}
    void take() override { mutex_.lock(); }
    void give_back() override { mutex_.unlock(); }

private:
    std::mutex& mutex_;
};

class timed final : public client {
public:
    explicit timed(std::timed_mutex& m) : mutex_{m} {}
    void take() override { (void)mutex_.try_lock_for(std::chrono::seconds{60}); }
    void give_back() override { mutex_.unlock(); }

private:
    std::timed_mutex& mutex_;
};

class shared final : public client {
public:
    explicit shared(std::shared_mutex& m) : mutex_{m} {}
    void take() override { mutex_.lock_shared(); }
    void give_back() override { mutex_.unlock_shared(); }

private:
    std::shared_mutex& mutex_;
};

class permit final : public client {
public:
    explicit permit(std::counting_semaphore<>& s) : semaphore_{s} {}
    void take() override { semaphore_.acquire(); }
    void give_back() override { semaphore_.release(); }

private:
    std::counting_semaphore<>& semaphore_;
};

// The thread that makes it has the mutex, another one tries it.
class busy final : public client {
public:
    explicit busy(std::mutex& m) : held_{m}, mutex_{m} {}
    void take() override { (void)mutex_.try_lock(); }
    void give_back() override {}

private:
    const std::lock_guard<std::mutex> held_;
    std::mutex& mutex_;
};

}  // namespace

std::unique_ptr<client> memory_baseline(const std::string& /*rest*/, const client_spec& s) {
    if (s.who != side::baseline) return nullptr;
    auto& locks = named(s.lock);
    switch (s.what) {
        case work::mutex:
            return std::make_unique<plain>(locks.mutex);
        case work::timed:
            return std::make_unique<timed>(locks.timed);
        case work::shared:
            return std::make_unique<shared>(locks.shared);
        case work::semaphore:
            return std::make_unique<permit>(locks.permits);
        case work::busy:
            return std::make_unique<busy>(locks.mutex);
        case work::borrowed:
        case work::upgrade:
            break;
    }
    return nullptr;
}

}  // namespace bench
