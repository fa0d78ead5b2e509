#include "contention.hpp"

#include <algorithm>
#include <barrier>
#include <exception>
#include <numeric>
#include <thread>

namespace bench {
namespace {

void spin(nanoseconds t) {
    for (const auto until = now() + t; now() < until;) {
    }
}

}  // namespace

double contest::per_second() const {
    return static_cast<double>(std::accumulate(shares.begin(), shares.end(), std::size_t{0})) / time.count();
}

double contest::fairness() const {
    const auto [least, most] = std::minmax_element(shares.begin(), shares.end());
    return static_cast<double>(*least) / static_cast<double>(*most);
}

void contest::add(const contest& more) {
    hand_over.add(more.hand_over);
    shares.resize(more.shares.size());
    std::transform(shares.begin(), shares.end(), more.shares.begin(), shares.begin(), std::plus{});
    time += more.time;
}

contest compete(std::vector<client>& clients, nanoseconds time, nanoseconds hold) {
    constexpr std::int64_t nobody = -1;
    std::atomic<std::int64_t> released_at_ns{0};
    std::atomic<std::int64_t> last{nobody};
    std::atomic<bool> over{false};
    std::barrier start{static_cast<std::ptrdiff_t>(clients.size()) + 1};
    std::vector<contest> results(clients.size());
    std::vector<std::exception_ptr> failures(clients.size());
    {
        std::vector<std::jthread> all;
        for (std::size_t i = 0; i < clients.size(); ++i)
            all.emplace_back([&, i] {
                start.arrive_and_wait();
                std::size_t share = 0;
                try {
                    while (!over) {
                        clients[i].take();
                        const auto granted = now();
                        // Not what it had before itself: nobody was woken for that.
                        if (hold > nanoseconds{0}) {
                            if (last != nobody && last != static_cast<std::int64_t>(i))
                                results[i].hand_over.add(granted - nanoseconds{released_at_ns});
                            spin(hold);
                            last = static_cast<std::int64_t>(i);
                            released_at_ns = now().count();
                        }
                        clients[i].give_back();
                        ++share;
                    }
                } catch (...) {
                    failures[i] = std::current_exception();
                    over = true;
                }
                results[i].shares = {share};
            });
        start.arrive_and_wait();
        const auto until = now() + time;
        while (!over && now() < until) std::this_thread::sleep_for(std::chrono::milliseconds{1});
        over = true;
    }
    contest sum{.time = time};
    for (std::size_t i = 0; i < clients.size(); ++i) {
        if (failures[i]) std::rethrow_exception(failures[i]);
        sum.hand_over.add(results[i].hand_over);
        sum.shares.push_back(results[i].shares.front());
    }
    return sum;
}

}  // namespace bench
