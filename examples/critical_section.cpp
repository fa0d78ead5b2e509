// Protecting a critical section across processes: wait a while for the lock, do the work, give it back.

#include <rowlock/rowlock.hpp>

#include <chrono>
#include <iostream>
#include <string>

int main(int, char** argv) {
    using namespace std::chrono_literals;
    const auto url = std::string{"sqlite:"} + argv[1] + "/locks.db";
    rowlock::open_schema(url).migrate();  // once for each database; `rowlock migrate` does the same

    const rowlock::provider locks = rowlock::open(url);
    rowlock::mutex report{locks, "nightly-report"};

    if (auto held = report.try_acquire_for(5s)) {
        // A job that runs long should look at this now and then: it fires if the lock is lost, which is before anybody
        // else can have it.
        if (!held->lost().stop_requested()) std::cout << "writing the " << held->name() << '\n';

        // Somebody else, here or in another process, does not get in. That is no error: the result is empty.
        if (!rowlock::mutex{locks, "nightly-report"}.try_acquire_for(20ms)) std::cout << "busy\n";
    }  // given back here

    try {
        auto held = report.acquire();  // waits as long as it takes
        held.release();                // unlike the destructor, says so if the database could not be told
        std::cout << "given back\n";
    } catch (const rowlock::error& e) {  // the database could not be used
        std::cerr << e.what() << '\n';
        return 1;
    }
}

/* Output:
writing the nightly-report
busy
given back
*/
