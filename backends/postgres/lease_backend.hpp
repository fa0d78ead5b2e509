#pragma once

#include <chrono>

#include <row_leases_at_once.hpp>

#include "break_listener.hpp"
#include "lease_store.hpp"

namespace rowlock::postgres {

/// Row leases, and who hears at once that an operator broke one. Behind a transaction pooler nobody does, and nobody
/// waits in the server: there no session can hold or hear anything.
class lease_backend final : public detail::row_leases_at_once<lease_store> {
public:
    lease_backend(const conninfo& to, bool transaction_pooled, std::chrono::milliseconds operation_timeout);
    ~lease_backend() override;

private:
    void do_begin_to_hold(const member& in) override;

    const bool pooled_;
    break_listener breaks_;
};

}  // namespace rowlock::postgres

extern template class rowlock::detail::row_leases<rowlock::postgres::lease_store>;
extern template class rowlock::detail::row_leases_at_once<rowlock::postgres::lease_store>;
