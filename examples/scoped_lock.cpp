// With the standard library's guards: `lockable` is what std::unique_lock and std::scoped_lock want.

#include <rowlock/rowlock.hpp>

#include <chrono>
#include <iostream>
#include <mutex>
#include <string>

int main(int, char** argv) {
    using namespace std::chrono_literals;
    const auto url = std::string{"sqlite:"} + argv[1] + "/locks.db";
    rowlock::open_schema(url).migrate();
    auto locks = rowlock::open(url);

    rowlock::lockable from{rowlock::mutex{locks, "account:1"}};
    rowlock::lockable to{rowlock::mutex{locks, "account:2"}};
    {
        const std::scoped_lock both{from, to};  // in whatever order others name them: no deadlock
        std::cout << "transfer with token " << (from.handle()->token() && to.handle()->token() ? "and" : "or none")
                  << " token\n";

        rowlock::lockable third{rowlock::mutex{locks, "account:2"}};
        const std::unique_lock busy{third, 10ms};
        std::cout << "somebody else got in: " << (busy.owns_lock() ? "yes" : "no") << '\n';
    }
    // The same without adapters: all or none.
    auto set = locks.try_acquire_all({"account:2", "account:1", "account:2"}, 1s);
    std::cout << "handles: " << (set ? set->size() : 0) << '\n';
}

/* Output:
transfer with token and token
somebody else got in: no
handles: 2
*/
