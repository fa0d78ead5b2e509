// A back end of one's own: two functions, and waiting, deadlines, cancelling and events come from the library.

#include <chrono>
#include <iostream>

#include "flock_backend.hpp"

int main(int, char** argv) {
    using namespace std::chrono_literals;
    // Two providers are two strangers, as two processes would be.
    rowlock::provider ours{std::make_unique<flock_backend>(argv[1])};
    rowlock::provider theirs{std::make_unique<flock_backend>(argv[1])};

    rowlock::shared_mutex mine{ours, "catalogue"}, other{theirs, "catalogue"};
    auto reading = mine.acquire_shared();
    std::cout << "they read too: " << (other.try_acquire_shared() ? "yes" : "no") << '\n';
    std::cout << "they write: " << (other.try_acquire_for(10ms) ? "yes" : "no") << '\n';
    reading.release();
    std::cout << "they write now: " << (other.try_acquire() ? "yes" : "no") << '\n';
    std::cout << "upgrades: " << (ours.supports(rowlock::primitive::upgrade_mutex) ? "yes" : "no") << '\n';
}

/* Output:
they read too: yes
they write: no
they write now: yes
upgrades: no
*/
