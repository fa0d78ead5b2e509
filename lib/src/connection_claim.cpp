#include "connection_claim.hpp"

#include <mutex>
#include <set>
#include <stdexcept>

namespace rowlock::detail {
namespace {

std::mutex claimed_mutex;
std::set<const void*>& claimed() {
    static std::set<const void*> all;
    return all;
}

}  // namespace

connection_claim::connection_claim(const void* connection) : connection_{connection} {
    const std::lock_guard lock{claimed_mutex};
    if (!claimed().insert(connection).second)
        throw std::logic_error{
            "there is a provider on this connection already; use that one: locks of one session do not exclude each "
            "other"};
}

connection_claim::~connection_claim() {
    const std::lock_guard lock{claimed_mutex};
    claimed().erase(connection_);
}

}  // namespace rowlock::detail
