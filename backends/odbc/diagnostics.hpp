#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <rowlock/error.hpp>

#include "handle.hpp"

namespace rowlock::odbc {

/// The caller's connection is not ready: the results of another statement have not been read to their end, and it does
/// one thing at a time; or it is in a transaction, where that will not do. Nothing was done.
class connection_busy final : public connection_error {
public:
    using connection_error::connection_error;
    ~connection_busy() override;
};

/// One record of what a driver has to say of the last call.
struct diagnostic {
    std::string sqlstate;
    int native = 0;
    std::string message;
};

/// What there is about a handle's last call: the first one is the most important.
/// https://learn.microsoft.com/sql/odbc/reference/develop-app/sequence-of-status-records
class diagnostics {
public:
    diagnostics(SQLSMALLINT type, SQLHANDLE h);
    template <SQLSMALLINT Type>
    explicit diagnostics(const handle<Type>& h) : diagnostics{Type, h.get()} {}

    [[nodiscard]] bool empty() const noexcept { return all_.empty(); }
    [[nodiscard]] bool has(std::string_view sqlstate) const noexcept;
    /// Of the server; SQL Server's number of a message.
    [[nodiscard]] bool has_native(int code) const noexcept;
    /// Class 08: the connection is broken, or could not be made.
    [[nodiscard]] bool connection_broken() const noexcept;
    /// A statement was ended by SQLCancel, or by the driver's own timeout.
    [[nodiscard]] bool ended() const noexcept;
    /// Results of another statement have not been read to their end, and the connection does one thing at a time.
    [[nodiscard]] bool connection_busy() const noexcept;
    /// All messages, in one line.
    [[nodiscard]] std::string text() const;

    /// SQLSTATE and native code of the first one.
    [[nodiscard]] error_context context(std::string_view backend) const;

    /// Throws the `rowlock::error` that fits, with SQLSTATE and native code.
    /// @param what "cannot connect to SQL Server"
    [[noreturn]] void fail(const std::string& what, std::string_view backend) const;

private:
    std::vector<diagnostic> all_;
};

}  // namespace rowlock::odbc
