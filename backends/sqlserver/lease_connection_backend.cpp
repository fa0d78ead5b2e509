#include "lease_connection_backend.hpp"

#include <stdexcept>

#include <odbc/borrowed_connection.hpp>
#include <row_leases_holding.hpp>
#include <worker.hpp>

#include "sqlserver_schema.hpp"

namespace rowlock::sqlserver {
namespace {

using namespace std::chrono_literals;

// To ask for a lock on a connection that is not ready for it is the caller's mistake; to renew or let go of one is not.
template <class Ask>
auto asking(Ask ask) {
    try {
        return ask();
    } catch (const odbc::connection_busy& e) {
        throw std::logic_error{e.what()};
    }
}

}  // namespace

lease_connection_backend::lease_connection_backend(SQLHDBC theirs, const options& opt)
    : row_leases{lease_store{opt.schema}, false, [&](source::gone_function gone) {
                     using only = odbc::borrowed_connection<lease_session>;
                     auto made = std::make_unique<only>(theirs, lease_store::server, name, std::move(gone), theirs,
                                                        canceler, name, opt.schema);
                     const auto d = deadline::after(opt.operation_timeout);
                     const auto here = made->any(d);
                     here->driver_timeout(opt.operation_timeout);
                     asking([&] { lease_store::check_ready(*here, d); });
                     rowlock::schema{std::make_unique<sqlserver_target>(here->connection(), opt)}.check();
                     return made;
                 }} {}

lease_connection_backend::~lease_connection_backend() {
    do_listen(nullptr);
    try {
        pay(deadline::after(1s));
    } catch (const std::exception&) {  // then they run out
    }
}

backend_traits lease_connection_backend::do_traits() const {
    auto traits = row_leases::do_traits();
    traits.renewed_by_verify = true;
    return traits;
}

std::optional<grant> lease_connection_backend::do_try_acquire(const lock_request& r, deadline d) {
    return asking([&] {
        pay(d);
        return row_leases::do_try_acquire(r, d);
    });
}

std::optional<grant> lease_connection_backend::do_await(const lock_request& r, const wait_bound& w,
                                                        std::chrono::milliseconds operation_timeout) {
    return asking([&] { return row_leases::do_await(r, w, operation_timeout); });
}

std::optional<grant> lease_connection_backend::do_abandon(const lock_request& r, deadline d) {
    // An upgrade that is waited for no more is forgotten after its time to live at most.
    if (!r.upgrade || !detail::worker::runs_this_thread()) return row_leases::do_abandon(r, d);
    return std::nullopt;
}

void lease_connection_backend::do_release(const lock_request& r, deadline d) {
    const auto owe = [&] {
        const std::lock_guard lock{mutex_};
        owed_.emplace(r.id, r);
    };
    if (detail::worker::runs_this_thread()) return owe();
    try {
        row_leases::do_release(r, d);
    } catch (const error&) {
        owe();
        throw;
    }
}

renewal lease_connection_backend::do_verify(const lock_request& r, deadline d) {
    pay(d);
    const auto* const only = &r;
    return row_leases::do_renew({&only, 1}, d).front();
}

void lease_connection_backend::pay(deadline d) {
    for (;;) {
        std::optional<lock_request> next;
        {
            const std::lock_guard lock{mutex_};
            if (owed_.empty()) return;
            next = owed_.extract(owed_.begin()).mapped();
        }
        try {
            row_leases::do_release(*next, d);
        } catch (const error&) {
            const std::lock_guard lock{mutex_};
            owed_.emplace(next->id, *next);
            throw;
        }
    }
}

}  // namespace rowlock::sqlserver
