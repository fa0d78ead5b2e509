#include "library_client.hpp"

#include <chrono>
#include <optional>
#include <stdexcept>
#include <utility>

#include <rowlock/rowlock.hpp>

namespace bench {
namespace {

using namespace std::chrono_literals;

// A primitive, and how one of its locks is acquired.
template <class Primitive, auto Acquire>
class holder final : public client {
public:
    explicit holder(Primitive p) : primitive_{std::move(p)} {}
    void take() override { held_ = Acquire(primitive_); }
    void give_back() override { held_->release(); }

private:
    Primitive primitive_;
    std::optional<rowlock::lock_handle> held_;
};

constexpr auto plain = [](auto& p) { return p.acquire(); };
constexpr auto timed = [](auto& p) { return p.try_acquire_for(60s); };
constexpr auto shared = [](auto& p) { return p.acquire_shared(); };
constexpr auto upgradable = [](auto& p) { return p.acquire_upgrade(); };

// Somebody else has the lock, and keeps it.
class vain final : public client {
public:
    vain(const rowlock::provider& other, const rowlock::provider& locks, const std::string& name)
        : held_{rowlock::mutex{other, name}.acquire()}, mutex_{locks, name} {}
    void take() override {
        if (mutex_.try_acquire()) throw std::logic_error{"two hold the lock"};
    }
    void give_back() override {}

private:
    rowlock::lock_handle held_;
    rowlock::mutex mutex_;
};

}  // namespace

rowlock::options options_of(const client_spec& s) {
    rowlock::options opt{.owner = s.owner};
    if (s.ttl_ms > 0) opt.ttl = std::chrono::milliseconds{s.ttl_ms};
    return opt;
}

rowlock::provider open_for(const std::string& url, rowlock::options opt) {
    if (url != "memory:") return rowlock::open(url, std::move(opt));
    static const auto ours = rowlock::open(url);
    return ours;
}

std::unique_ptr<client> library_client(const client_spec& s) {
    return library_client(open_for(s.url, options_of(s)), s);
}

std::unique_ptr<client> library_client(const rowlock::provider& locks, const client_spec& s) {
    switch (s.what) {
        case work::mutex:
        case work::borrowed:
            return std::make_unique<holder<rowlock::mutex, plain>>(rowlock::mutex{locks, s.lock});
        case work::timed:
            return std::make_unique<holder<rowlock::mutex, timed>>(rowlock::mutex{locks, s.lock});
        case work::shared:
            return std::make_unique<holder<rowlock::shared_mutex, shared>>(rowlock::shared_mutex{locks, s.lock});
        case work::upgrade:
            return std::make_unique<holder<rowlock::upgrade_mutex, upgradable>>(rowlock::upgrade_mutex{locks, s.lock});
        case work::semaphore:
            return std::make_unique<holder<rowlock::semaphore, plain>>(rowlock::semaphore{locks, s.lock, 4});
        case work::busy:
            return std::make_unique<vain>(open_for(s.url, options_of(s)), locks, s.lock);
    }
    return nullptr;
}

}  // namespace bench
