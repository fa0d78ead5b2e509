#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <rowlock/deadline.hpp>

#include "canceler.hpp"
#include "connection.hpp"

namespace rowlock::odbc {

/// A value that is bytes, not text.
struct bytes {
    std::string_view value;
};

/// What a batch brought: the rows of all its results, one behind the other.
class rows {
public:
    [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
    [[nodiscard]] bool is_null(std::size_t row, std::size_t column) const { return !cell(row, column); }
    [[nodiscard]] std::int64_t integer(std::size_t row, std::size_t column) const;
    [[nodiscard]] bool truth(std::size_t row, std::size_t column) const {
        return !is_null(row, column) && integer(row, column) != 0;
    }
    /// UTF-8; empty if it is null.
    [[nodiscard]] std::string text(std::size_t row, std::size_t column) const;
    void drop_first() { all_.erase(all_.begin()); }
    /// Of a column that is bytes, which drivers hand over in hexadecimal digits.
    [[nodiscard]] std::string raw(std::size_t row, std::size_t column) const;

private:
    friend class batch;
    using cell_type = std::optional<std::string>;
    [[nodiscard]] const cell_type& cell(std::size_t row, std::size_t column) const { return all_.at(row).at(column); }

    std::vector<std::vector<cell_type>> all_;
};

/// Statements that are prepared once, as one text, with parameters that are copied each time they run, and that may
/// bring any number of rows. For a call that has to be as fast as can be, there is `statement`.
///
/// Distinct objects: safe, on distinct connections.
/// Shared objects: unsafe.
class batch {
public:
    batch(connection& c, std::string_view sql);
    ~batch();

    /// Runs statements without parameters that are not prepared: what they set, and a transaction that they begin, stay
    /// with the session.
    /// @throws as run()
    static void run_once(connection& c, std::string_view sql, canceler& by, deadline d);

    batch(const batch&) = delete;
    batch& operator=(const batch&) = delete;

    /// Runs it to the end: one round trip. The values are `std::int64_t`, `std::string_view` (UTF-8), and `bytes`.
    /// @throws no_answer the connection is not usable any more, also if there was no answer by `d`; somebody else's
    ///         stays usable then, as far as the driver can tell
    /// @throws connection_busy
    /// @throws rowlock::error the server reported an error
    template <class... T>
    rows run(canceler& c, deadline d, const T&... values) {
        std::size_t i = 0;
        (set(i++, values), ...);
        return execute(c, d);
    }

private:
    // Drivers prepare anew when a parameter is bound anew: so its buffer stays where it is.
    struct parameter {
        std::int64_t number = 0;
        std::vector<SQLWCHAR> wide{};
        std::vector<char> raw{};
        SQLLEN length = 0;
        SQLPOINTER bound = nullptr;
        SQLULEN bound_size = 0;
    };

    parameter& at(std::size_t i);
    void set(std::size_t i, std::int64_t value);
    void set(std::size_t i, std::string_view utf8);
    void set(std::size_t i, bytes value);
    void bind(std::size_t i, SQLSMALLINT c_type, SQLSMALLINT sql_type, SQLULEN size, SQLPOINTER value, SQLLEN room);
    struct unprepared {};
    batch(connection& c, std::string_view sql, unprepared);
    SQLRETURN prepare();
    rows execute(canceler& c, deadline d);
    SQLRETURN collect(rows& into, canceler::watch& w);
    SQLRETURN fetch(rows& into, SQLUSMALLINT columns, canceler::watch& w);

    connection& connection_;
    const std::string sql_;
    const bool prepared_;
    bool ready_ = true;
    statement_handle handle_;
    std::deque<parameter> parameters_;
};

}  // namespace rowlock::odbc
