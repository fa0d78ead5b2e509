#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace rowlock::detail {

/// What was computed from a text, kept until it is wanted for another one: mostly a thread wants the same lock again,
/// and hashing its name is a good part of what that costs on this side. One for each thread and function.
///
/// Distinct objects: safe.
/// Shared objects: unsafe.
template <class Value>
class last_result {
public:
    template <class Compute>
    const Value& of(std::string_view text, Compute compute) {
        if (!value_ || text != text_) {
            auto value = compute();
            text_ = text;
            value_ = std::move(value);
        }
        return *value_;
    }

private:
    std::string text_;
    std::optional<Value> value_;
};

}  // namespace rowlock::detail
