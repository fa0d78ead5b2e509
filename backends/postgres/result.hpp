#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <rowlock/fencing_token.hpp>

#include <libpq-fe.h>

namespace rowlock::postgres {

/// The rows that a statement brought, in PostgreSQL's binary format. Which type a column has is the statement's matter.
///
/// Thread-safety: a value type; moves only.
class result {
public:
    result() = default;
    explicit result(PGresult* raw) noexcept : raw_{raw} {}

    [[nodiscard]] const PGresult* raw() const noexcept { return raw_.get(); }
    [[nodiscard]] int rows() const noexcept { return PQntuples(raw_.get()); }
    [[nodiscard]] bool is_null(int row, int column) const noexcept { return PQgetisnull(raw_.get(), row, column) != 0; }

    [[nodiscard]] std::string_view bytes(int row, int column) const noexcept {
        return {PQgetvalue(raw_.get(), row, column), static_cast<std::size_t>(PQgetlength(raw_.get(), row, column))};
    }
    [[nodiscard]] std::string text(int row, int column) const { return std::string{bytes(row, column)}; }

    /// boolean; null counts as false.
    [[nodiscard]] bool truth(int row, int column) const noexcept { return integer(row, column) != 0; }

    /// boolean, smallint, integer or bigint; null counts as 0.
    [[nodiscard]] std::int64_t integer(int row, int column) const noexcept {
        const auto b = bytes(row, column);
        if (b.empty()) return 0;
        std::int64_t value = static_cast<signed char>(b.front());
        for (const char c : b.substr(1)) value = value * 256 + static_cast<unsigned char>(c);
        return value;
    }

    /// bigint.
    [[nodiscard]] fencing_token token(int row, int column) const noexcept {
        return fencing_token{static_cast<std::uint64_t>(integer(row, column))};
    }

    /// timestamptz.
    [[nodiscard]] std::chrono::system_clock::time_point time(int row, int column) const noexcept {
        using namespace std::chrono;
        constexpr sys_days epoch{January / 1 / 2000};  // PostgreSQL's; counted in microseconds
        return epoch + microseconds{integer(row, column)};
    }

private:
    struct clear {
        void operator()(PGresult* r) const noexcept { PQclear(r); }
    };
    std::unique_ptr<PGresult, clear> raw_;
};

}  // namespace rowlock::postgres
