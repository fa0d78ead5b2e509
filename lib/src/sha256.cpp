#include "sha256.hpp"

#include <memory>
#include <new>

#include <openssl/evp.h>

namespace rowlock::detail {
namespace {

struct state {
    // Fetched once: OpenSSL 3 takes longer to look up an algorithm by name than to run it on a short text.
    std::unique_ptr<EVP_MD, decltype(&EVP_MD_free)> algorithm{EVP_MD_fetch(nullptr, "SHA256", nullptr), &EVP_MD_free};
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{EVP_MD_CTX_new(), &EVP_MD_CTX_free};
};

}  // namespace

sha256_digest sha256(std::string_view text) {
    thread_local const state s;
    sha256_digest digest{};
    if (EVP_DigestInit_ex2(s.context.get(), s.algorithm.get(), nullptr) != 1 ||
        EVP_DigestUpdate(s.context.get(), text.data(), text.size()) != 1 ||
        EVP_DigestFinal_ex(s.context.get(), digest.data(), nullptr) != 1)
        throw std::bad_alloc{};  // SHA-256 itself cannot fail
    return digest;
}

}  // namespace rowlock::detail
