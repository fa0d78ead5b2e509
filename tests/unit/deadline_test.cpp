#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <limits>
#include <ratio>

#include <rowlock/deadline.hpp>

using namespace std::chrono_literals;
using rowlock::deadline;
using rowlock::wait_bound;
using clock_type = deadline::clock;

namespace {

// Between what the clock says before and after.
template <class Duration>
void check_lies_ahead_by(Duration d) {
    const auto before = clock_type::now();
    const auto at = deadline::after(d).at();
    const auto after = clock_type::now();
    BOOST_TEST((at - before >= d));
    BOOST_TEST((at - after <= std::chrono::ceil<clock_type::duration>(d)));
}

}  // namespace

BOOST_AUTO_TEST_CASE(zero_and_negative_durations_have_passed) {
    BOOST_TEST(deadline::after(0s).expired());
    BOOST_TEST(deadline::after(-1ns).expired());
    BOOST_TEST(deadline::after(-1h).expired());
    BOOST_TEST(deadline::after(clock_type::duration::min()).expired());
    BOOST_TEST(deadline::after(std::chrono::hours::min()).expired());
    BOOST_TEST(deadline::after(std::chrono::duration<double>{-0.0}).expired());
    BOOST_TEST((deadline::after(-1ns).remaining() == 0ns));
    BOOST_TEST(!deadline::after(0s).is_never());
}

BOOST_AUTO_TEST_CASE(durations_beyond_the_clock_mean_never) {
    BOOST_TEST(deadline::after(clock_type::duration::max()).is_never());
    BOOST_TEST(deadline::after(std::chrono::milliseconds::max()).is_never());
    BOOST_TEST(deadline::after(std::chrono::hours::max()).is_never());
    BOOST_TEST(deadline::after(std::chrono::duration<std::int64_t, std::ratio<31556952>>::max()).is_never());
    BOOST_TEST(deadline::after(clock_type::time_point::max() - clock_type::now()).is_never());
    BOOST_TEST(deadline::after(std::chrono::duration<double>::max()).is_never());
    BOOST_TEST(!deadline::never().expired());
    BOOST_TEST((deadline::never().remaining() == clock_type::duration::max()));
}

BOOST_AUTO_TEST_CASE(floating_point_durations_mean_what_they_say) {
    using seconds = std::chrono::duration<double>;
    using limits = std::numeric_limits<double>;
    BOOST_TEST(deadline::after(seconds{limits::infinity()}).is_never());
    BOOST_TEST(deadline::after(seconds{-limits::infinity()}).expired());
    BOOST_TEST(deadline::after(seconds{limits::quiet_NaN()}).expired());
    BOOST_TEST(deadline::after(std::chrono::duration<float>{std::numeric_limits<float>::infinity()}).is_never());
    check_lies_ahead_by(seconds{1.5});
    check_lies_ahead_by(std::chrono::duration<float, std::milli>{2.25F});
}

BOOST_AUTO_TEST_CASE(parts_of_a_millisecond_count) {
    check_lies_ahead_by(1ns);
    check_lies_ahead_by(250us);
    check_lies_ahead_by(std::chrono::duration<double, std::micro>{0.5});
}

BOOST_AUTO_TEST_CASE(a_duration_finer_than_the_clock_is_rounded_up) {
    using picoseconds = std::chrono::duration<std::int64_t, std::pico>;
    const auto before = clock_type::now();
    BOOST_TEST((deadline::after(picoseconds{1}).at() - before >= 1ns));
}

BOOST_AUTO_TEST_CASE(long_but_representable_durations_are_kept) {
    check_lies_ahead_by(std::chrono::hours{24 * 365 * 100});
}

BOOST_AUTO_TEST_CASE(a_wait_is_over_by_time_or_by_request) {
    BOOST_TEST(wait_bound{}.over());
    BOOST_TEST((!wait_bound{deadline::never()}.over()));
    std::stop_source stop;
    const wait_bound w{deadline::never(), stop.get_token()};
    BOOST_TEST(!w.over());
    stop.request_stop();
    BOOST_TEST(w.over());
}
