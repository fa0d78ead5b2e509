#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <migrations_in_schema.hpp>

namespace rowlock::postgres {

/// A named statement with `$1`-parameters. Sessions prepare it when they first need it, so there must be one object for
/// each: a constant at the top of the file that uses it.
struct statement {
    const char* name;
    const char* sql;
};

/// The schema that statements and migrations are written for, and the default of `options::schema`.
using detail::default_schema;

/// `sql` for another schema: every `rowlock.` that qualifies a name, and every `SCHEMA rowlock`, has the quoted name
/// instead. So no text of SQL may contain a word before a dot that reads `rowlock` and means something else.
[[nodiscard]] std::string in_schema(std::string_view sql, std::string_view schema);

/// Parameters in PostgreSQL's binary format, in which nothing is quoted, cut or terminated. They refer to the text
/// they were made of.
template <std::size_t N>
class arguments {
public:
    template <class... T>
    explicit arguments(const T&... values) {
        std::size_t i = 0;
        (bind(i++, values), ...);
    }
    arguments(const arguments&) = delete;
    arguments& operator=(const arguments&) = delete;

    [[nodiscard]] int size() const noexcept { return static_cast<int>(N); }
    [[nodiscard]] const char* const* values() const noexcept { return values_.data(); }
    [[nodiscard]] const int* lengths() const noexcept { return lengths_.data(); }
    [[nodiscard]] const int* formats() const noexcept { return formats_.data(); }

private:
    void bind(std::size_t i, std::int64_t number) {
        for (int byte = 7; byte >= 0; --byte, number >>= 8)
            numbers_.at(i).at(static_cast<std::size_t>(byte)) = static_cast<char>(number & 0xFF);
        set(i, {numbers_.at(i).data(), 8});
    }
    void bind(std::size_t i, std::string_view text) { set(i, text); }
    void bind(std::size_t i, const std::string& text) { set(i, text); }

    void set(std::size_t i, std::string_view bytes) {
        values_.at(i) = bytes.data() ? bytes.data() : "";
        lengths_.at(i) = static_cast<int>(bytes.size());
        formats_.at(i) = 1;
    }

    std::array<std::array<char, 8>, N> numbers_;
    std::array<const char*, N> values_;
    std::array<int, N> lengths_;
    std::array<int, N> formats_;
};

/// A `bigint[]` parameter.
[[nodiscard]] std::string array_of(std::span<const std::int64_t> numbers);
/// A `text[]` parameter.
[[nodiscard]] std::string array_of(std::span<const std::string_view> texts);

}  // namespace rowlock::postgres
