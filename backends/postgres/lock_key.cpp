#include "lock_key.hpp"

#include <array>
#include <memory>
#include <new>
#include <string>

#include <openssl/evp.h>

namespace rowlock::postgres {
namespace {

struct hash {
    // Fetched once: OpenSSL 3 takes longer to look up an algorithm by name than to run it on a short text.
    std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> algorithm{EVP_MD_fetch(nullptr, "SHA256", nullptr), &EVP_MD_free};
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> state{EVP_MD_CTX_new(), &EVP_MD_CTX_free};

    std::int64_t first_64_bits(std::string_view text) {
        std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
        if (EVP_DigestInit_ex2(state.get(), algorithm.get(), nullptr) != 1 ||
            EVP_DigestUpdate(state.get(), text.data(), text.size()) != 1 ||
            EVP_DigestFinal_ex(state.get(), digest.data(), nullptr) != 1)
            throw std::bad_alloc{};  // SHA-256 itself cannot fail
        std::uint64_t bits = 0;
        for (std::size_t i = 0; i < 8; ++i) bits = bits << 8 | digest.at(i);
        return static_cast<std::int64_t>(bits);
    }
};

}  // namespace

std::int64_t key_of(std::string_view name) {
    thread_local hash sha256;
    // Mostly the same one as the last time, and hashing it is a good part of what a lock costs on this side.
    thread_local std::string last;
    thread_local std::int64_t key = 0;
    if (last.empty() || name != last) {
        key = sha256.first_64_bits(name);
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
