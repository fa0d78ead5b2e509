#include <boost/test/unit_test.hpp>

#include <stdexcept>
#include <string>

#include <errno.h>
#include <unistd.h>

#include <check_options.hpp>

using namespace std::chrono_literals;
using rowlock::options;

namespace {

// Refused with a message that names the field.
void check_refused(const options& opt, std::string_view field) {
    BOOST_CHECK_EXCEPTION(rowlock::detail::check(opt), std::invalid_argument, [&](const std::invalid_argument& e) {
        return std::string_view{e.what()}.find(field) != std::string_view::npos;
    });
}

}  // namespace

BOOST_AUTO_TEST_CASE(defaults_make_sense) {
    BOOST_CHECK_NO_THROW(rowlock::detail::check({}));
    BOOST_TEST((options{}.ttl == 30s));
    BOOST_TEST((options{}.operation_timeout == 5s));
    BOOST_TEST(!options{}.fencing);
    BOOST_TEST(!options{}.allow_network_file_system);
}

BOOST_AUTO_TEST_CASE(the_default_owner_is_host_pid_program) {
    const auto owner = rowlock::default_owner();
    const auto expected = ':' + std::to_string(getpid()) + ':' + program_invocation_short_name;
    BOOST_TEST(owner.ends_with(expected));
    BOOST_TEST(owner.size() > expected.size());
    BOOST_TEST(options{}.owner == owner);
}

BOOST_AUTO_TEST_CASE(time_to_live_has_bounds) {
    for (const auto bad : {0ms, -1ms, 49ms, std::chrono::milliseconds{24h * 24} + 1ms, std::chrono::milliseconds::max(),
                           std::chrono::milliseconds::min()})
        check_refused({.ttl = bad}, "ttl");
    for (const auto good : {50ms, 30000ms, std::chrono::milliseconds{24h * 24}})
        BOOST_CHECK_NO_THROW(rowlock::detail::check({.ttl = good}));
}

BOOST_AUTO_TEST_CASE(operation_timeout_has_bounds) {
    for (const auto bad : {0ms, -5ms, std::chrono::milliseconds::max(), std::chrono::milliseconds{24h * 24} + 1ms})
        check_refused({.operation_timeout = bad}, "operation_timeout");
    BOOST_CHECK_NO_THROW(rowlock::detail::check({.operation_timeout = 1ms}));
}

BOOST_AUTO_TEST_CASE(key_prefix_is_text_that_leaves_room_for_a_name) {
    BOOST_CHECK_NO_THROW(rowlock::detail::check({.key_prefix = std::string(254, 'p')}));
    check_refused({.key_prefix = std::string(255, 'p')}, "key_prefix");
    check_refused({.key_prefix = "\xFF"}, "key_prefix");
    check_refused({.key_prefix = std::string(1, '\0')}, "key_prefix");
}

BOOST_AUTO_TEST_CASE(owner_is_text_of_bounded_length) {
    BOOST_CHECK_NO_THROW(rowlock::detail::check({.owner = ""}));
    BOOST_CHECK_NO_THROW(rowlock::detail::check({.owner = std::string(1024, 'o')}));
    check_refused({.owner = std::string(1025, 'o')}, "owner");
    check_refused({.owner = "\xC0\x80"}, "owner");
    check_refused({.owner = std::string{"a\0b", 3}}, "owner");
}

BOOST_AUTO_TEST_CASE(schema_is_a_plain_identifier) {
    BOOST_TEST(options{}.schema == "rowlock");
    for (const auto& good : {std::string{"a"}, std::string{"_"}, std::string{"Locks_2"}, std::string(63, 's')})
        BOOST_CHECK_NO_THROW(rowlock::detail::check({.schema = good}));
    for (const auto& bad :
         {std::string{}, std::string{"2a"}, std::string{"a.b"}, std::string{"a-b"}, std::string{"a b"},
          std::string{"a\"b"}, std::string{"\xC3\xA4"}, std::string{"a\0b", 3}, std::string(64, 's')})
        check_refused({.schema = bad}, "schema");
}
