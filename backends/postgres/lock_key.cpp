#include "lock_key.hpp"

#include <cstddef>
#include <string>

#include <last_result.hpp>
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
    thread_local detail::last_result<std::int64_t> last;
    return last.of(name, [&] { return first_64_bits(detail::sha256(name)); });
}

std::int64_t derived_key(std::string_view name, std::string_view word) {
    std::string text{name};
    text.append(1, '\0').append(word);
    return first_64_bits(detail::sha256(text));
}

lock_keys keys_of(std::string_view name) {
    thread_local detail::last_result<lock_keys> last;
    return last.of(name, [&]() -> lock_keys {
        return {key_of(name), derived_key(name, "sharers"), derived_key(name, "users"), derived_key(name, "queue"),
                derived_key(name, "place")};
    });
}

}  // namespace rowlock::postgres
