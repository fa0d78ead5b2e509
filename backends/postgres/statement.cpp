#include "statement.hpp"

namespace rowlock::postgres {
namespace {

// Object ids of the element types, fixed since PostgreSQL began (pg_type.dat).
constexpr std::int32_t int8_type = 20;
constexpr std::int32_t text_type = 25;

template <class Integer>
void append(std::string& out, Integer value) {
    for (int shift = (static_cast<int>(sizeof value) - 1) * 8; shift >= 0; shift -= 8)
        out += static_cast<char>((value >> shift) & 0xFF);
}

// array_send in PostgreSQL's arrayfuncs.c: dimensions, whether there are nulls, element type, then size and lower bound
// of each dimension, then each element with its length.
std::string header(std::int32_t element, std::size_t size) {
    std::string out;
    append<std::int32_t>(out, size == 0 ? 0 : 1);
    append<std::int32_t>(out, 0);
    append<std::int32_t>(out, element);
    if (size == 0) return out;
    append<std::int32_t>(out, static_cast<std::int32_t>(size));
    append<std::int32_t>(out, 1);
    return out;
}

bool in_identifier(char c) {
    return c == '_' || c == '$' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

std::string in_schema(std::string_view sql, std::string_view schema) {
    if (schema == default_schema) return std::string{sql};
    std::string out;
    for (auto at = sql.find(default_schema); at != std::string_view::npos; at = sql.find(default_schema)) {
        const auto before = sql.substr(0, at), after = sql.substr(at + default_schema.size());
        const bool begins = before.empty() || !in_identifier(before.back());
        const bool qualifies = after.size() > 1 && after[0] == '.' && in_identifier(after[1]);
        const bool named = before.ends_with("SCHEMA ") && (after.empty() || !in_identifier(after[0]));
        out += before;
        if (begins && (qualifies || named))
            out.append(1, '"').append(schema).append(1, '"');
        else
            out += default_schema;
        sql = after;
    }
    return out.append(sql);
}

std::string array_of(std::span<const std::int64_t> numbers) {
    auto out = header(int8_type, numbers.size());
    out.reserve(out.size() + 12 * numbers.size());
    for (const auto n : numbers) {
        append<std::int32_t>(out, 8);
        append<std::int64_t>(out, n);
    }
    return out;
}

std::string array_of(std::span<const std::string_view> texts) {
    auto out = header(text_type, texts.size());
    for (const auto t : texts) {
        append<std::int32_t>(out, static_cast<std::int32_t>(t.size()));
        out += t;
    }
    return out;
}

}  // namespace rowlock::postgres
