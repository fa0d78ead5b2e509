#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <stdexcept>
#include <string>

#include <names.hpp>

using namespace std::string_literals;
using rowlock::detail::full_name;
using rowlock::detail::is_utf8;
namespace data = boost::unit_test::data;

namespace {

// RFC 3629 section 4 and, for the ill-formed ones, table 3-7 of the Unicode standard: each boundary from both sides.
const std::vector<std::string> well_formed{
    "a",
    "\x7F",
    "\xC2\x80",          // U+0080
    "\xDF\xBF",          // U+07FF
    "\xE0\xA0\x80",      // U+0800
    "\xEC\xBF\xBF",      // U+CFFF
    "\xED\x80\x80",      // U+D000
    "\xED\x9F\xBF",      // U+D7FF, the last before the surrogates
    "\xEE\x80\x80",      // U+E000, the first behind them
    "\xEF\xBF\xBF",      // U+FFFF: no character, but well-formed
    "\xF0\x90\x80\x80",  // U+10000
    "\xF3\xBF\xBF\xBF",
    "\xF4\x8F\xBF\xBF",  // U+10FFFF
    "caf\xC3\xA9 \xF0\x9F\x9A\xA3",
    " trailing blanks  ",
    "'; DROP TABLE locks; --",
};

const std::vector<std::string> ill_formed{
    "\x80",  // a continuation without a lead
    "\xBF",
    "\xC0\x80",  // overlong NUL
    "\xC0\xAF",  // overlong slash
    "\xC1\xBF",  // overlong U+007F
    "\xC2",      // ends early
    "\xC2\x41",
    "\xC2\xC0",
    "\xE0\x80\x80",  // overlong
    "\xE0\x9F\xBF",  // overlong U+07FF
    "\xE0\xA0",
    "\xE2\x82",
    "\xE2\x82\x41",
    "\xED\xA0\x80",              // U+D800, a surrogate
    "\xED\xBF\xBF",              // U+DFFF
    "\xED\xA0\xBD\xED\xB0\x80",  // a pair of them: CESU-8
    "\xF0\x80\x80\x80",          // overlong
    "\xF0\x8F\xBF\xBF",          // overlong U+FFFF
    "\xF0\x9F\x9A",
    "\xF0\x9F\x9A\x41",
    "\xF4\x90\x80\x80",  // U+110000
    "\xF5\x80\x80\x80",
    "\xF8\x88\x80\x80\x80",
    "\xFE",
    "\xFF",
    "good then \xFF",
    "\xE9 is Latin-1",
};

}  // namespace

BOOST_DATA_TEST_CASE(well_formed_text_is_accepted, data::make(well_formed), text) {
    BOOST_TEST(is_utf8(text));
    BOOST_TEST(full_name("", text) == text);
}

BOOST_DATA_TEST_CASE(ill_formed_text_is_refused, data::make(ill_formed), text) {
    BOOST_TEST(!is_utf8(text));
    BOOST_CHECK_THROW((void)full_name("", text), std::invalid_argument);
    BOOST_CHECK_THROW((void)full_name("prefix:", text), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(every_code_point_and_nothing_else_in_three_bytes) {
    for (unsigned lead = 0xE0; lead <= 0xEF; ++lead)
        for (unsigned second = 0; second <= 0xFF; ++second) {
            const std::string text{static_cast<char>(lead), static_cast<char>(second), '\x80'};
            const unsigned code = (lead & 0xF) << 12 | (second & 0x3F) << 6;
            const bool right = second >> 6 == 2 && code >= 0x800 && (code < 0xD800 || code > 0xDFFF);
            if (is_utf8(text) != right) BOOST_ERROR("lead " << lead << ", second " << second);
        }
}

BOOST_AUTO_TEST_CASE(nul_is_refused) {
    BOOST_CHECK_THROW((void)full_name("", "a\0b"s), std::invalid_argument);
    BOOST_CHECK_THROW((void)full_name("", "\0"s), std::invalid_argument);
    BOOST_CHECK_THROW((void)full_name("", "a\0"s), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(length_counts_bytes_and_the_prefix) {
    BOOST_CHECK_THROW((void)full_name("", ""), std::invalid_argument);
    BOOST_CHECK_THROW((void)full_name("prefix", ""), std::invalid_argument);
    BOOST_TEST(full_name("", std::string(255, 'x')).size() == 255U);
    BOOST_CHECK_THROW((void)full_name("", std::string(256, 'x')), std::invalid_argument);
    BOOST_TEST(full_name("12345", std::string(250, 'x')).size() == 255U);
    BOOST_CHECK_THROW((void)full_name("123456", std::string(250, 'x')), std::invalid_argument);

    std::string oars;  // 64 rowing boats: 256 bytes in 64 characters
    for (int i = 0; i < 64; ++i) oars += "\xF0\x9F\x9A\xA3";
    BOOST_CHECK_THROW((void)full_name("", oars), std::invalid_argument);
    oars.replace(0, 4, "abc");
    BOOST_TEST(full_name("", oars).size() == 255U);
}

BOOST_AUTO_TEST_CASE(prefix_and_name_are_joined_unchanged) {
    BOOST_TEST(full_name("billing:", "nightly ") == "billing:nightly ");
    BOOST_TEST(full_name("", "Nightly") == "Nightly");
}

BOOST_AUTO_TEST_CASE(a_sequence_split_between_prefix_and_name_is_judged_as_a_whole) {
    BOOST_TEST(full_name("\xC3", "\xA9") == "\xC3\xA9");
    BOOST_CHECK_THROW((void)full_name("\xC3", "e"), std::invalid_argument);
}
