// Taking work items one at a time: each item has a lock of its own, and a worker skips those that are busy.

#include <rowlock/rowlock.hpp>

#include <array>
#include <atomic>
#include <iostream>
#include <string>
#include <thread>

int main(int, char** argv) {
    const auto url = std::string{"sqlite:"} + argv[1] + "/locks.db";
    rowlock::open_schema(url).migrate();

    constexpr int items = 20;
    std::array<std::atomic<bool>, items> done{};  // in real life: a column of the items' table
    std::array<std::atomic<int>, items> times{};

    const auto worker = [&] {
        auto locks = rowlock::open(url, {.key_prefix = "invoice:"});
        for (int left = items; left > 0;) {
            left = 0;
            for (std::size_t i = 0; i < items; ++i) {
                if (done[i]) continue;
                ++left;
                const auto held = locks.try_acquire(std::to_string(i));  // does not wait
                if (!held) continue;                                     // another worker is at it
                if (done[i]) continue;                                   // it was, until we got the lock
                ++times[i];
                done[i] = true;
            }
        }
    };
    {
        std::array<std::jthread, 4> workers;
        for (auto& each : workers) each = std::jthread{worker};
    }
    int once = 0;
    for (const auto& n : times) once += n == 1;
    std::cout << once << " of " << items << " items were done exactly once\n";
}

/* Output:
20 of 20 items were done exactly once
*/
