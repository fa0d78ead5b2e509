#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

#include <odbc/wide_text.hpp>

namespace {

std::vector<unsigned> units_of(const std::string& utf8) {
    rowlock::odbc::wide_text t;
    t.assign(utf8);
    const auto n = static_cast<std::size_t>(*t.bytes()) / sizeof(SQLWCHAR);
    return {t.data(), t.data() + n};
}

BOOST_AUTO_TEST_CASE(every_length_of_utf8) {
    BOOST_TEST((units_of("a") == std::vector<unsigned>{0x61}));
    BOOST_TEST((units_of("\xC3\xA9") == std::vector<unsigned>{0xE9}));
    BOOST_TEST((units_of("\xE2\x82\xAC") == std::vector<unsigned>{0x20AC}));
    BOOST_TEST((units_of("\xEF\xBF\xBF") == std::vector<unsigned>{0xFFFF}));
    BOOST_TEST((units_of("\xF0\x9F\x9A\xA3") == std::vector<unsigned>{0xD83D, 0xDEA3}));
    BOOST_TEST(units_of("").empty());
}

BOOST_AUTO_TEST_CASE(the_longest) { BOOST_TEST(units_of(std::string(255, 'x')).size() == 255U); }

BOOST_AUTO_TEST_CASE(nothing_is_left_of_a_longer_one) {
    rowlock::odbc::wide_text t;
    t.assign("abc");
    t.assign("x");
    BOOST_TEST(*t.bytes() == 2);
    BOOST_TEST(t.data()[1] == 0);
}

}  // namespace
