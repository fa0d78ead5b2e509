#include "lock_key.hpp"

#include <cstddef>
#include <string>

#include <sha256.hpp>

namespace rowlock::postgres {
namespace {

std::int64_t first_64_bits(const detail::sha256_digest& digest) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < 8; ++i) bits = bits << 8 | digest.at(i);
    return static_cast<std::int64_t>(bits);
}

}  // namespace

std::int64_t key_of(std::string_view name) {
    // Mostly the same one as the last time, and hashing it is a good part of what a lock costs on this side.
    thread_local std::string last;
    thread_local std::int64_t key = 0;
    if (last.empty() || name != last) {
        key = first_64_bits(detail::sha256(name));
        last = name;
    }
    return key;
}

lock_keys keys_of(std::string_view name) {
    std::string text{name};
    text += '\0';
    const auto key = [&](std::string_view word) {
        text.resize(name.size() + 1);
        text += word;
        return key_of(text);
    };
    return {key_of(name), key("sharers"), key("users"), key("queue"), key("place")};
}

}  // namespace rowlock::postgres
