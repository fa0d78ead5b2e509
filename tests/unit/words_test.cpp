#include <boost/test/unit_test.hpp>

#include <rowlock/doctor.hpp>
#include <rowlock/observer.hpp>
#include <rowlock/primitive.hpp>

// The words are part of what `rowlock status` prints and of what monitoring matches: they do not change.
BOOST_AUTO_TEST_CASE(every_enumerator_has_its_word) {
    using rowlock::to_string;
    BOOST_TEST(to_string(rowlock::primitive::mutex) == "mutex");
    BOOST_TEST(to_string(rowlock::primitive::shared_mutex) == "shared_mutex");
    BOOST_TEST(to_string(rowlock::primitive::upgrade_mutex) == "upgrade_mutex");
    BOOST_TEST(to_string(rowlock::primitive::semaphore) == "semaphore");
    BOOST_TEST(to_string(rowlock::lock_mode::exclusive) == "exclusive");
    BOOST_TEST(to_string(rowlock::lock_mode::shared) == "shared");
    BOOST_TEST(to_string(rowlock::lock_mode::upgrade) == "upgrade");
    BOOST_TEST(to_string(rowlock::lock_mode::permit) == "permit");
    BOOST_TEST(to_string(rowlock::loss_reason::expired) == "expired");
    BOOST_TEST(to_string(rowlock::loss_reason::connection) == "connection");
    BOOST_TEST(to_string(rowlock::loss_reason::broken) == "broken");
    BOOST_TEST(to_string(rowlock::loss_reason::server) == "server");
    BOOST_TEST(to_string(rowlock::severity::good) == "good");
    BOOST_TEST(to_string(rowlock::severity::advice) == "advice");
    BOOST_TEST(to_string(rowlock::severity::problem) == "problem");
}
