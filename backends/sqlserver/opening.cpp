#include "opening.hpp"

#include <utility>

#include <rowlock/error.hpp>

#include <odbc/errand.hpp>

namespace rowlock::sqlserver {
namespace {

using member = detail::pooled<lease_session>;

// A connection keeps alive what it needs.
struct kept_connection {
    kept_connection(const std::string& connection_string, std::string_view backend, deadline d)
        : environment{backend}, c{environment, connection_string, "SQL Server", backend, d} {}

    odbc::environment environment;
    odbc::connection c;
};

struct kept_session {
    kept_session(std::uint64_t id, const opening& how, deadline d)
        : of{how.of}, m{id, of->environment, of->canceler, how.connection_string, how.backend, how.schema, d} {}

    const std::shared_ptr<client> of;
    member m;
};

// What `make` makes, in a thread of its own.
template <class Make>
auto made_aside(Make make, std::string_view backend, const wait_bound& w) {
    const auto made = std::make_shared<decltype(make())>();
    odbc::errand call{[made, make = std::move(make)] { *made = make(); }};
    if (!call.done(w))
        throw connection_error{"no connection to SQL Server within the time allowed",
                               {.backend = std::string{backend}}};
    return *made;
}

}  // namespace

std::shared_ptr<odbc::connection> open_connection(const std::string& connection_string, std::string_view backend,
                                                  deadline d) {
    const auto k = made_aside([=] { return std::make_shared<kept_connection>(connection_string, backend, d); }, backend,
                              {.until = d});
    return {k, &k->c};
}

std::shared_ptr<member> open_session(std::uint64_t id, const opening& how, const wait_bound& w) {
    const auto make = [id, how, d = w.until] {
        auto k = std::make_shared<kept_session>(id, how, d);
        how.get_ready(k->m.s, d);
        return k;
    };
    const auto k = made_aside(make, how.backend, w);
    return {k, &k->m};
}

}  // namespace rowlock::sqlserver
