#pragma once

#include <boost/test/unit_test.hpp>

#include <memory>
#include <string>

#include <support/relay.hpp>
#include <support/sqlserver_connection.hpp>

namespace rowlock::test {

/// The server that speaks TDS which tests may use, with a relay before it.
struct through_relay {
    // Goes through the relay instead of to the port that the connection string names.
    through_relay() {
        const auto at = text.find("PORT=");
        BOOST_REQUIRE(at != std::string::npos);
        const auto end = text.find(';', at);
        between = std::make_unique<relay>(std::stoi(text.substr(at + 5, end - at - 5)));
        text.replace(at + 5, end - at - 5, std::to_string(between->port()));
    }
    [[nodiscard]] const std::string& connection_string() const noexcept { return text; }

    std::string text = *sqlserver();
    std::unique_ptr<relay> between;
};

}  // namespace rowlock::test
