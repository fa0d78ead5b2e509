#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include <rowlock/deadline.hpp>
#include <rowlock/error.hpp>

#include "canceler.hpp"
#include "connection.hpp"
#include "wide_text.hpp"

namespace rowlock::odbc {

/// A statement that is prepared once, with parameters that are bound once, to variables that outlive it.
///
/// Distinct objects: safe, on distinct connections.
/// Shared objects: unsafe.
class statement {
public:
    statement(connection& c, std::string_view sql);
    ~statement();
    statement(const statement&) = delete;
    statement& operator=(const statement&) = delete;

    /// The next question mark. `result`: what a procedure returns, `{?=call ...}`. It is there when `run` has returned:
    /// SQL Server sends it behind all other results.
    statement& result(SQLINTEGER& value);
    statement& parameter(SQLINTEGER& value);
    statement& parameter(wide_text& value);
    /// The next column of the row that it brings, as text; what does not fit is cut off. Empty: it is NULL, or there is
    /// no row.
    template <std::size_t Size>
    statement& column(std::array<char, Size>& value) {
        bind_column(value.data(), Size);
        return *this;
    }

    /// Calls `f` for each row that it brings, with the columns filled. Otherwise there is at most one.
    statement& each_row(std::function<void()> f);

    /// Another one than its connection's, see there.
    statement& driver_timeout(std::chrono::milliseconds t);

    enum class outcome {
        done,
        ended  ///< by SQLCancel, or a timeout; what it was to do may have been done all the same
    };

    /// Runs it to the end, and drains whatever it brings. Blocks until `d` or `stop` and as long
    /// as the server takes to hear of the cancellation.
    /// @throws no_answer the connection is not usable any more
    /// @throws connection_busy
    /// @throws rowlock::error the server reported an error
    outcome run(canceler& c, deadline d, const std::stop_token& stop = {});

private:
    void bind(SQLSMALLINT kind, SQLSMALLINT c_type, SQLSMALLINT sql_type, SQLULEN size, SQLPOINTER value,
              SQLLEN* length);
    void bind_column(char* value, std::size_t size);
    SQLRETURN prepare();
    SQLRETURN execute(canceler::watch& w);
    SQLRETURN fetch(canceler::watch& w);

    connection& connection_;
    const std::string sql_;
    statement_handle handle_;
    SQLUSMALLINT parameters_ = 0;
    // Drivers write the length, and leave the text alone where there is none.
    struct bound_column {
        char* value;
        SQLLEN length = 0;
    };
    std::deque<bound_column> columns_;
    SQLLEN number_length_ = 0;
    std::function<void()> on_row_;
};

}  // namespace rowlock::odbc
