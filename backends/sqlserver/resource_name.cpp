#include "resource_name.hpp"

#include <last_result.hpp>
#include <sha256.hpp>

namespace rowlock::sqlserver {
namespace {

// No name of ours is taken for what is derived from another one.
constexpr std::string_view prefix = "rowlock:";

// SHA-256 of the name, a NUL byte (which no name has in it) and the word, in hexadecimal digits.
std::string derived(std::string_view name, std::string_view word) {
    std::string text{name};
    text += '\0';
    text += word;
    std::string out{prefix};
    for (const auto byte : detail::sha256(text)) {
        constexpr std::string_view digits = "0123456789abcdef";
        out += digits[byte >> 4U];
        out += digits[byte & 0xFU];
    }
    return out;
}

}  // namespace

std::string resource_of(std::string_view name) {
    return name.ends_with(' ') || name.starts_with(prefix) ? derived(name, "name") : std::string{name};
}

std::string queue_of(std::string_view name) { return derived(name, "queue"); }

std::string permit_of(std::string_view name, std::uint32_t number) {
    return derived(name, "permit/" + std::to_string(number));
}

lease_keys lease_keys_of(std::string_view schema, std::string_view name) {
    thread_local detail::last_result<lease_keys> last;
    std::string in;
    for (const char c : schema) in += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    std::string both{name};
    both.append(1, '\0').append(in);
    return last.of(both, [&]() -> lease_keys {
        return {derived(name, in + ".lease queue"), derived(name, in + ".lease bell"),
                derived(name, in + ".lease pin")};
    });
}

}  // namespace rowlock::sqlserver
