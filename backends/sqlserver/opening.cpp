#include "opening.hpp"

#include <utility>

#include <rowlock/error.hpp>

#include <odbc/errand.hpp>

namespace rowlock::sqlserver {
namespace {

using member = detail::pooled<lease_session>;

// A session keeps alive what it needs.
struct kept {
    kept(std::uint64_t id, const opening& how, deadline d)
        : of{how.of}, m{id, of->environment, of->canceler, how.connection_string, how.backend, how.schema, d} {}

    const std::shared_ptr<client> of;
    member m;
};

}  // namespace

std::shared_ptr<member> open_session(std::uint64_t id, const opening& how, const wait_bound& w) {
    const auto made = std::make_shared<std::shared_ptr<kept>>();
    odbc::errand call{[made, id, how, d = w.until] {
        auto k = std::make_shared<kept>(id, how, d);
        how.get_ready(k->m.s, d);
        *made = std::move(k);
    }};
    if (!call.done(w))
        throw connection_error{"no connection to SQL Server within the time allowed",
                               {.backend = std::string{how.backend}}};
    return {*made, &(*made)->m};
}

}  // namespace rowlock::sqlserver
