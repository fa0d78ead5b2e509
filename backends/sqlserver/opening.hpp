#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <connection_source.hpp>
#include <odbc/canceler.hpp>
#include <odbc/connection.hpp>

#include "lease_session.hpp"

namespace rowlock::sqlserver {

/// What the connections of a provider need as long as one of them lives, which may be longer than the provider does: a
/// driver may not come back.
struct client {
    explicit client(std::string_view backend) : environment{backend} {}

    odbc::environment environment;
    odbc::canceler canceler{};
};

/// How the connections of a provider are made.
struct opening {
    std::shared_ptr<client> of;
    std::string connection_string;
    std::string_view backend;
    std::string schema;                                       ///< empty: for applocks alone
    std::function<void(lease_session&, deadline)> get_ready;  ///< after that it can be used
};

/// Connects. Blocks until `w` is over, whatever the driver does: it is left to itself then.
/// @throws connection_error
[[nodiscard]] std::shared_ptr<odbc::connection> open_connection(const std::string& connection_string,
                                                                std::string_view backend, deadline d);
[[nodiscard]] std::shared_ptr<detail::pooled<lease_session>> open_session(std::uint64_t id, const opening& how,
                                                                          const wait_bound& w);

}  // namespace rowlock::sqlserver
