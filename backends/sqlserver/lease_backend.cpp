#include "lease_backend.hpp"

#include <connection_pool.hpp>
#include <row_leases_holding.hpp>
#include <row_leases_taking.hpp>
#include <row_leases_waiting.hpp>

#include "opening.hpp"

template class rowlock::detail::row_leases<rowlock::sqlserver::lease_store>;

namespace rowlock::sqlserver {

lease_backend::lease_backend(const std::string& connection_string, const options& opt)
    : row_leases{lease_store{opt.schema}, true, [&](source::gone_function gone) {
                     const auto get_ready = [t = opt.operation_timeout](lease_session& s, deadline d) {
                         s.driver_timeout(t);
                         lease_store::get_ready(s, d);
                     };
                     const opening how{std::make_shared<client>(name), connection_string, name, opt.schema, get_ready};
                     return std::make_unique<detail::connection_pool<lease_session>>(
                         [how](std::uint64_t id, const wait_bound& w) { return open_session(id, how, w); },
                         lease_store::server, name, std::move(gone));
                 }} {}

}  // namespace rowlock::sqlserver
