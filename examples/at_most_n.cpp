// Limiting concurrency: at most three at once, in all processes together.

#include <rowlock/rowlock.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <iostream>
#include <latch>
#include <mutex>
#include <string>
#include <thread>

int main(int, char** argv) {
    const auto url = std::string{"sqlite:"} + argv[1] + "/locks.db";
    rowlock::open_schema(url).migrate();

    constexpr int permits = 3;
    std::latch all_permits_in_use{permits};
    std::mutex mutex;
    int inside = 0, most = 0, finished = 0;

    const auto job = [&](int number) {
        rowlock::semaphore licenses{rowlock::open(url), "licenses", permits};
        const auto permit = licenses.acquire();
        {
            const std::lock_guard guard{mutex};
            most = std::max(most, ++inside);
        }
        // The first three really are inside together: each stays until the others have come.
        if (number < permits) all_permits_in_use.arrive_and_wait();
        const std::lock_guard guard{mutex};
        --inside;
        ++finished;
    };
    std::array<std::thread, 9> jobs;
    for (int i = 0; auto& j : jobs) j = std::thread{job, i++};
    for (auto& j : jobs) j.join();
    std::cout << finished << " jobs, at most " << most << " at once\n";
}

/* Output:
9 jobs, at most 3 at once
*/
