#include <boost/test/unit_test.hpp>

#include <chrono>

#include <rowlock/boot_clock.hpp>

#include <time.h>

using namespace std::chrono_literals;
using rowlock::boot_clock;

namespace {

std::chrono::nanoseconds raw() {
    timespec t{};
    clock_gettime(CLOCK_BOOTTIME, &t);
    return std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
}

}  // namespace

BOOST_AUTO_TEST_CASE(it_reads_the_boot_time_less_the_namespace_offset) {
    const auto before = raw();
    const auto now = boot_clock::now().time_since_epoch() + boot_clock::namespace_offset();
    const auto after = raw();
    BOOST_TEST((before <= now));
    BOOST_TEST((now <= after));
}

BOOST_AUTO_TEST_CASE(it_never_goes_back) {
    auto last = boot_clock::now();
    for (int i = 0; i < 100000; ++i) {
        const auto now = boot_clock::now();
        if (now < last) BOOST_FAIL("went back");
        last = now;
    }
}
