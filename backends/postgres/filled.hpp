#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace rowlock::postgres {

/// A script with numbers put in the place of {words}. For what takes no parameters; a name never goes in.
class filled {
public:
    explicit filled(std::string text) : text_{std::move(text)} {}

    filled& put(std::string_view word, const std::string& value) {
        for (auto at = text_.find(word); at != std::string::npos; at = text_.find(word, at + value.size()))
            text_.replace(at, word.size(), value);
        return *this;
    }
    // Negative ones in parentheses, and never read as anything else.
    filled& put(std::string_view word, std::int64_t key) {
        return put(word, "('" + std::to_string(key) + "'::bigint)");
    }
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

private:
    std::string text_;
};

}  // namespace rowlock::postgres
