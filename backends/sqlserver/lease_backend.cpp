#include "lease_backend.hpp"

#include <row_leases_holding.hpp>
#include <row_leases_taking.hpp>
#include <row_leases_waiting.hpp>

template class rowlock::detail::row_leases<rowlock::sqlserver::lease_store>;

namespace rowlock::sqlserver {

lease_backend::lease_backend(const std::string& connection_string, const std::string& schema)
    : row_leases{lease_store{schema}, true, [&](source::gone_function gone) {
                     using pool = detail::connection_pool<lease_session>;
                     return std::make_unique<pool>(
                         [this, connection_string, schema](std::uint64_t id, deadline until) {
                             auto made = std::make_shared<member>(id, environment, canceler, connection_string, name,
                                                                  schema, until);
                             lease_store::get_ready(made->s, until);
                             return made;
                         },
                         lease_store::server, name, std::move(gone));
                 }} {}

}  // namespace rowlock::sqlserver
