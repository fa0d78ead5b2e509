#pragma once

#include <string_view>

#include <connection_claim.hpp>

#include "handle.hpp"

namespace rowlock::odbc {

/// The caller's connection, claimed for one provider. Tells whether it is still the one that was handed over: closed,
/// or closed and connected anew, it is another session, which holds none of the locks.
///
/// ODBC has no function to ask that. What the driver has for a connection it makes when that is connected, and frees
/// when it is closed; its address may come again. So a statement of our own lies on the connection, too, never run,
/// with the address of something of ours among its attributes: closing the connection frees it, driver managers know
/// which statements there are, and another one in its place has another address there, or none.
///
/// That statement is asked last. Where it has been freed, another thread's may be in its place, and while that is freed
/// nothing may be asked of it; this is left to a connection that was connected anew, and to chance.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class borrowed_handle {
public:
    /// @throws std::invalid_argument no handle; std::logic_error it has been claimed before
    /// @throws connection_error it is not connected
    borrowed_handle(SQLHDBC theirs, std::string_view backend);
    ~borrowed_handle();
    borrowed_handle(const borrowed_handle&) = delete;
    borrowed_handle& operator=(const borrowed_handle&) = delete;

    /// Asks the driver manager only, not the server.
    [[nodiscard]] bool still_there() const noexcept;

private:
    [[nodiscard]] SQLHANDLE in_driver() const noexcept;

    const detail::connection_claim claim_;
    const SQLHDBC theirs_;
    const SQLHANDLE of_driver_;
    SQLULEN mark_ = 0;
    statement_handle marked_;
};

}  // namespace rowlock::odbc
