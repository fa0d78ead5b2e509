#define BOOST_TEST_MODULE cli_units
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <limits>
#include <stdexcept>
#include <string>

#include "display.hpp"
#include "duration.hpp"

using namespace std::chrono_literals;
using rowlock::cli::display_width;
using rowlock::cli::format_table;
using rowlock::cli::parse_duration;
using rowlock::cli::printable;
using rowlock::cli::short_duration;

namespace {

std::string refusal(std::string_view text) {
    try {
        (void)parse_duration(text);
    } catch (const std::invalid_argument& e) {
        return e.what();
    }
    return "accepted";
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_SUITE(duration)

BOOST_AUTO_TEST_CASE(every_unit) {
    BOOST_TEST((parse_duration("500ms") == 500ms));
    BOOST_TEST((parse_duration("5s") == 5s));
    BOOST_TEST((parse_duration("3m") == 3min));
    BOOST_TEST((parse_duration("2h") == 2h));
    BOOST_TEST((parse_duration("1d") == 24h));
    BOOST_TEST((parse_duration("0s") == 0s));
    BOOST_TEST((parse_duration("007s") == 7s));
}

BOOST_AUTO_TEST_CASE(several_parts_from_large_to_small) {
    BOOST_TEST((parse_duration("1m30s") == 90s));
    BOOST_TEST((parse_duration("1d2h3m4s5ms") == 24h + 2h + 3min + 4s + 5ms));
    BOOST_TEST((parse_duration("90s500ms") == 90500ms));
    BOOST_TEST(refusal("30s1m") != "accepted");
    BOOST_TEST(refusal("1s1s") != "accepted");
}

BOOST_AUTO_TEST_CASE(a_number_without_a_unit_says_what_to_write) {
    BOOST_TEST(contains(refusal("90"), "90s or 90ms"));
    BOOST_TEST(contains(refusal("1m30"), "30s or 30ms"));
    BOOST_TEST(contains(refusal("0"), "0s or 0ms"));
}

BOOST_AUTO_TEST_CASE(what_is_no_duration) {
    for (const char* text :
         {"", " ", "s", "-5s", "+5s", "5 s", " 5s", "5s ", "5sec", "5S", "five", "1:30", "5s,", "1e3s", "inf"})
        BOOST_TEST(contains(refusal(text), "1m30s"), text << ": " << refusal(text));
    BOOST_TEST(contains(refusal("1.5s"), "1500ms"));
    BOOST_TEST(contains(refusal("1,5s"), "1500ms"));
    BOOST_TEST(refusal(std::string_view{"5s\0", 3}) != "accepted");
}

BOOST_AUTO_TEST_CASE(nothing_overflows) {
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    BOOST_TEST(parse_duration(std::to_string(most) + "ms").count() == most);
    BOOST_TEST(contains(refusal("9223372036854775808ms"), "too long"));
    BOOST_TEST(contains(refusal("99999999999999999999999ms"), "too long"));
    BOOST_TEST(contains(refusal(std::to_string(most) + "s"), "too long"));
    BOOST_TEST(contains(refusal(std::to_string(most / 1000) + "s999ms"), "too long"));
    BOOST_TEST(contains(refusal(std::to_string(most) + "d"), "too long"));
    BOOST_TEST((parse_duration(std::to_string(most / 86'400'000) + "d").count() > 0));
}

BOOST_AUTO_TEST_CASE(shown_shortly) {
    BOOST_TEST(short_duration(0ms) == "0s");
    BOOST_TEST(short_duration(-5s) == "0s");
    BOOST_TEST(short_duration(850ms) == "850ms");
    BOOST_TEST(short_duration(28400ms) == "28s");
    BOOST_TEST(short_duration(90s) == "1m30s");
    BOOST_TEST(short_duration(2h) == "2h");
    BOOST_TEST(short_duration(24h + 5min) == "1d");
    BOOST_TEST(short_duration(25h) == "1d1h");
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(display)

BOOST_AUTO_TEST_CASE(ordinary_text_is_shown_as_it_is) {
    for (const char* text :
         {"nightly", "it's \"quoted\"", "two words", "Zürich 東京", "🚀🚀", "👩‍🚀", "", "a/b:c;d$(e)`f`"})
        BOOST_TEST(printable(text) == text);
}

BOOST_AUTO_TEST_CASE(what_could_harm_a_terminal_is_escaped) {
    BOOST_TEST(printable("a\nb\tc\rd") == "a\\nb\\tc\\rd");
    BOOST_TEST(printable("\x1b[2J") == "\\x1b[2J");
    BOOST_TEST(printable("\x7f") == "\\x7f");
    BOOST_TEST(printable("\xc2\x9b") == "\\u{9b}");  // CSI in one character
    BOOST_TEST(printable("\xe2\x80\xae"
                         "evil") == "\\u{202e}evil");  // right-to-left override
    BOOST_TEST(printable("a\xe2\x80\x8b"
                         "b") == "a\\u{200b}b");  // zero-width space
    BOOST_TEST(printable("back\\slash") == "back\\\\slash");
}

BOOST_AUTO_TEST_CASE(invalid_text_is_escaped_byte_by_byte) {
    BOOST_TEST(printable("\xff") == "\\xff");
    BOOST_TEST(printable("a\xc3") == "a\\xc3");
    BOOST_TEST(printable("\xc0\x80") == "\\xc0\\x80");           // overlong
    BOOST_TEST(printable("\xed\xa0\x80") == "\\xed\\xa0\\x80");  // surrogate
    BOOST_TEST(printable("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
}

BOOST_AUTO_TEST_CASE(widths) {
    BOOST_TEST(display_width("abc") == 3U);
    BOOST_TEST(display_width("Zürich") == 6U);
    BOOST_TEST(display_width("東京") == 4U);
    BOOST_TEST(display_width("🚀") == 2U);
    BOOST_TEST(display_width("") == 0U);
}

BOOST_AUTO_TEST_CASE(columns_stand_below_each_other) {
    BOOST_TEST(format_table({{"NAME", "X"}, {"🚀", "1"}, {"long name", "2"}, {"e\n", ""}}) ==
               "NAME       X\n"
               "🚀         1\n"
               "long name  2\n"
               "e\\n\n");
}

BOOST_AUTO_TEST_CASE(times) {
    const std::chrono::system_clock::time_point t{1772366400250ms};
    BOOST_TEST(rowlock::cli::utc_time(t) == "2026-03-01T12:00:00.250Z");
    BOOST_TEST(rowlock::cli::utc_time(std::chrono::system_clock::time_point{-1ms}) == "1969-12-31T23:59:59.999Z");
}

BOOST_AUTO_TEST_SUITE_END()
