#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <rowlock/deadline.hpp>

#include "diagnostics.hpp"
#include "handle.hpp"

namespace rowlock::odbc {

/// ODBC itself, for one provider.
///
/// Distinct objects: safe.
/// Shared objects: safe.
class environment {
public:
    /// @throws connection_error
    explicit environment(std::string_view backend);
    [[nodiscard]] const environment_handle& handle() const noexcept { return handle_; }

private:
    environment_handle handle_;
};

/// What SQL_ATTR_QUERY_TIMEOUT is set to for calls that are to be canceled after `t`: whole seconds, and later than
/// that. FreeTDS closes a connection in which both happen at once.
[[nodiscard]] constexpr std::chrono::seconds driver_seconds(std::chrono::milliseconds t) noexcept {
    return std::chrono::floor<std::chrono::seconds>(t) + std::chrono::seconds{1};
}

/// One connection, of our own or somebody else's. What broke it makes it unusable: it never connects again by itself,
/// because a new session would hold none of the locks of the old one.
///
/// Closing it may not end the session: a driver manager that was told to pool connections (`Pooling` in odbcinst.ini)
/// keeps it. So whoever holds locks in it gives them back first.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
class connection {
public:
    /// Connects; blocks until `d`, which the driver rounds up to whole seconds.
    /// @param server "SQL Server", for messages
    /// @throws connection_error
    connection(const environment& e, const std::string& connection_string, std::string_view server,
               std::string_view backend, deadline d);
    /// Somebody else's, connected: it is not closed here.
    connection(SQLHDBC theirs, std::string_view server, std::string_view backend);
    ~connection();
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    [[nodiscard]] const connection_handle& handle() const noexcept { return handle_; }
    [[nodiscard]] const std::string& server() const noexcept { return server_; }
    [[nodiscard]] std::string_view backend() const noexcept { return backend_; }

    /// It is not closed here, and is somebody's who goes on with it.
    [[nodiscard]] bool is_borrowed() const noexcept { return !handle_.is_ours(); }
    [[nodiscard]] bool usable() const noexcept { return why_.empty(); }
    /// It must not be used any more.
    void abandon(const std::string& why) { why_ = why.empty() ? "it failed" : why; }
    /// Its owner has closed it, which frees its statements, too.
    void heard_close();
    [[nodiscard]] bool is_closed() const noexcept { return closed_; }
    /// Whether the driver knows it to be broken; asks nobody.
    [[nodiscard]] bool is_dead() const noexcept;
    /// After a call that was canceled: takes what is left of the cancellation, which would hit the next call. FreeTDS
    /// can take that for an answer, so that all that follow are one behind: then it must not be used any more.
    void settle();
    /// What the driver itself allows a statement that is made from now on: `driver_seconds(t)`, in case that it does
    /// not heed SQLCancel. FreeTDS closes the connection where the server does not answer to a cancellation for so
    /// long, which is what ends a call on a network that is dead.
    void driver_timeout(std::chrono::milliseconds t) noexcept { timeout_ = driver_seconds(t); }
    /// A statement that takes as long as it takes, or as `driver_timeout` has it.
    /// @throws connection_error there are no more
    void allocate(statement_handle& s) const;
    /// Whether a transaction begins only where one is begun (SQL_ATTR_AUTOCOMMIT).
    [[nodiscard]] bool commits_by_itself() const noexcept;
    /// Name and version of the driver.
    [[nodiscard]] std::string driver() const;
    /// Why it is not usable any more.
    [[nodiscard]] std::string last_words() const;

private:
    connection_handle handle_;
    const std::string server_;
    const std::string_view backend_;
    std::string why_;
    bool closed_ = false;
    std::chrono::seconds timeout_{0};
    int settled_ = 500'000;  ///< the last number that `settle` asked for: none that a statement of ours answers
};

}  // namespace rowlock::odbc
