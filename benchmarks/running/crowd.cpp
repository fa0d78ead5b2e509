#include "crowd.hpp"

#include <algorithm>
#include <future>
#include <stdexcept>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include <contenders/back_ends.hpp>

#include "child.hpp"

namespace bench {

class crowd::member {
public:
    member() = default;
    virtual ~member() = default;
    member(const member&) = delete;
    member& operator=(const member&) = delete;
    virtual void start(const job& j) = 0;
    virtual outcome finish() = 0;
};

class crowd::in_thread final : public member {
public:
    in_thread(std::unique_ptr<client> c, page& p) : client_{std::move(c)}, page_{p} {}
    void start(const job& j) override {
        running_ = std::async(std::launch::async, [this, j] { return execute(j, *client_, page_); });
    }
    outcome finish() override { return running_.get(); }

private:
    std::unique_ptr<client> client_;
    page& page_;
    std::future<outcome> running_;
};

class crowd::in_process final : public member {
public:
    in_process(const client_spec& s, const shared_page& p) : child_{s, p} {}
    void start(const job& j) override { child_.start(j); }
    outcome finish() override { return child_.finish(); }

private:
    child child_;
};

crowd::crowd(client_spec s, std::size_t clients, std::size_t locks, place where, const placer& cpus)
    : locks_{locks}, cpus_{cpus} {
    if (locks == 0 || locks > most_locks) throw std::invalid_argument{fmt::format("1 to {} locks", most_locks)};
    const auto name = s.lock;
    for (std::size_t i = 0; i < clients; ++i) {
        s.lock = fmt::format("{} {}", name, i % locks);
        if (where == place::threads) {
            auto c = make_client(s);
            if (!c) return;
            members_.push_back(std::make_unique<in_thread>(std::move(c), *page_));
        } else {
            if (i == 0 && !make_client(s)) return;
            members_.push_back(std::make_unique<in_process>(s, page_));
        }
    }
}

crowd::~crowd() = default;

outcome crowd::cycles(std::int64_t times) {
    auto& only = *members_.front();
    only.start({.what = job::cycles, .times = times});
    auto o = only.finish();
    if (!o.failure.empty()) throw std::runtime_error{o.failure};
    return o;
}

crowd::contest_outcome crowd::contest(nanoseconds time, nanoseconds hold, nanoseconds think) {
    page_.reset();
    for (std::size_t i = 0; i < members_.size(); ++i)
        members_[i]->start({.what = job::contest,
                            .hold_ns = hold.count(),
                            .think_ns = think.count(),
                            .cpu = cpus_.cpu_of(i, locks_).value_or(-1),
                            .client = static_cast<std::uint32_t>(i),
                            .lock = static_cast<std::uint32_t>(i % locks_),
                            .rivals = static_cast<std::uint32_t>(members_.size() > locks_ ? members_.size() : 0)});
    while (page_->ready < members_.size()) std::this_thread::sleep_for(std::chrono::microseconds{20});
    page_->started = true;
    const auto began = now();
    // Seldom: this thread runs where the clients do.
    for (const auto until = began + time; !page_->over && now() < until;)
        std::this_thread::sleep_for(std::min<nanoseconds>(until - now(), std::chrono::milliseconds{10}));
    page_->over = true;
    contest_outcome o{.lasted = now() - began};
    for (auto& m : members_) o.all.push_back(m->finish());
    for (const auto& one : o.all)
        if (!one.failure.empty()) throw std::runtime_error{one.failure};
    return o;
}

std::string describe(std::size_t clients, place where) {
    const auto* one = where == place::threads ? "thread" : "process";
    const auto* many = where == place::threads ? "threads" : "processes";
    return fmt::format("{} {}", clients, clients == 1 ? one : many);
}

}  // namespace bench
