#include "lease_backend.hpp"

#include <system_error>

#include <row_leases_holding.hpp>
#include <row_leases_taking.hpp>
#include <row_leases_waiting.hpp>

#include "session_pool.hpp"

template class rowlock::detail::row_leases<rowlock::postgres::lease_store>;
template class rowlock::detail::row_leases_at_once<rowlock::postgres::lease_store>;

namespace rowlock::postgres {

lease_backend::lease_backend(const conninfo& to, bool transaction_pooled, std::chrono::milliseconds operation_timeout)
    : row_leases_at_once{lease_store{to.schema}, !transaction_pooled,
                         [&](session_source::gone_function gone) {
                             return std::make_unique<session_pool>(to, name, transaction_pooled, std::move(gone));
                         }},
      pooled_{transaction_pooled},
      breaks_{sessions(), operation_timeout, [this] { doubt(); }} {}

lease_backend::~lease_backend() { listen(nullptr); }

void lease_backend::do_begin_to_hold(const member& in) {
    if (pooled_) return;
    try {
        breaks_.start(in);
    } catch (const std::system_error&) {  // no thread; a break is heard at the next renewal
    }
}

}  // namespace rowlock::postgres
