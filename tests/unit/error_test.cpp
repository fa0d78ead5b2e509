#include <boost/test/unit_test.hpp>

#include <exception>
#include <type_traits>

#include <rowlock/error.hpp>

namespace {

template <class Error>
void check_carries_its_context() {
    try {
        throw Error{"what happened", {.lock_name = "n", .backend = "b", .sqlstate = "40001", .native_code = 7}};
    } catch (const rowlock::error& e) {
        BOOST_TEST(e.what() == "what happened");
        BOOST_TEST(e.lock_name() == "n");
        BOOST_TEST(e.backend() == "b");
        BOOST_TEST(e.sqlstate() == "40001");
        BOOST_TEST(e.native_code() == 7);
        BOOST_TEST((dynamic_cast<const Error*>(&e) != nullptr));
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_error_is_caught_as_the_root_with_its_context) {
    check_carries_its_context<rowlock::cancelled>();
    check_carries_its_context<rowlock::connection_error>();
    check_carries_its_context<rowlock::in_doubt_error>();
    check_carries_its_context<rowlock::lock_lost>();
    check_carries_its_context<rowlock::deadlock_detected>();
    check_carries_its_context<rowlock::schema_error>();
    check_carries_its_context<rowlock::unsupported>();
}

BOOST_AUTO_TEST_CASE(context_is_optional) {
    const rowlock::connection_error e{"gone"};
    BOOST_TEST(e.lock_name().empty());
    BOOST_TEST(e.sqlstate().empty());
    BOOST_TEST(e.native_code() == 0);
}

BOOST_AUTO_TEST_CASE(errors_are_runtime_errors_and_misuse_is_not_an_error) {
    static_assert(std::is_base_of_v<std::runtime_error, rowlock::error>);
    static_assert(!std::is_base_of_v<std::logic_error, rowlock::error>);
    static_assert(!std::is_base_of_v<rowlock::connection_error, rowlock::in_doubt_error>);
    static_assert(std::is_nothrow_copy_constructible_v<std::runtime_error>);
    BOOST_TEST(std::is_polymorphic_v<rowlock::error>);
}

BOOST_AUTO_TEST_CASE(a_cause_can_be_nested) {
    try {
        try {
            throw std::runtime_error{"the driver said so"};
        } catch (...) {
            std::throw_with_nested(rowlock::connection_error{"the database is gone"});
        }
    } catch (const rowlock::connection_error& e) {
        BOOST_CHECK_EXCEPTION(std::rethrow_if_nested(e), std::runtime_error, [](const std::runtime_error& cause) {
            return std::string_view{cause.what()} == "the driver said so";
        });
    }
}
