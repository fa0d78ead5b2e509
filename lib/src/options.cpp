#include <rowlock/options.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>

#include <errno.h>
#include <unistd.h>

#include "check_options.hpp"
#include "names.hpp"

namespace rowlock {

std::string default_owner() {
    std::array<char, 256> host{};
    if (gethostname(host.data(), host.size() - 1) != 0) host = {"localhost"};
    return std::string{host.data()} + ':' + std::to_string(getpid()) + ':' + program_invocation_short_name;
}

namespace detail {
namespace {

// As PostgreSQL takes it quoted and unquoted, so that people can write it, too. NAMEDATALEN is 64.
bool is_schema_name(std::string_view name) {
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    const auto word = [&](char c) { return digit(c) || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    return !name.empty() && name.size() <= 63 && !digit(name.front()) && std::all_of(name.begin(), name.end(), word);
}

}  // namespace

void check(const options& opt) {
    using namespace std::chrono_literals;
    // SQL Server's DATEADD counts milliseconds in an int, which ends at 24.8 days; one bound for every back end.
    if (opt.ttl < 50ms || opt.ttl > std::chrono::hours{24 * 24})
        throw std::invalid_argument{"options::ttl must be 50 ms to 24 days; it is " + std::to_string(opt.ttl.count()) +
                                    " ms"};
    if (opt.operation_timeout < 1ms || opt.operation_timeout > std::chrono::hours{24 * 24})
        throw std::invalid_argument{"options::operation_timeout must be 1 ms to 24 days; it is " +
                                    std::to_string(opt.operation_timeout.count()) + " ms"};
    if (!opt.key_prefix.empty() &&
        (opt.key_prefix.size() > 254 || !is_utf8(opt.key_prefix) || opt.key_prefix.find('\0') != std::string::npos))
        throw std::invalid_argument{"options::key_prefix must be at most 254 bytes of UTF-8 without NUL"};
    if (opt.owner.size() > 1024 || !is_utf8(opt.owner) || opt.owner.find('\0') != std::string::npos)
        throw std::invalid_argument{"options::owner must be at most 1024 bytes of UTF-8 without NUL"};
    if (!is_schema_name(opt.schema))
        throw std::invalid_argument{
            "options::schema must be 1 to 63 ASCII letters, digits and underscores, and not begin with a digit"};
}

}  // namespace detail
}  // namespace rowlock
