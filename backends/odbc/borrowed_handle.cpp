#include "borrowed_handle.hpp"

#include <array>
#include <atomic>
#include <mutex>
#include <set>
#include <stdexcept>

#include "diagnostics.hpp"

namespace rowlock::odbc {
namespace {

std::mutex claimed_mutex;
std::set<SQLHDBC>& claimed() {
    static std::set<SQLHDBC> all;
    return all;
}

// 18 bytes are what every driver takes.
std::string new_mark() {
    static std::atomic<unsigned> last{0};
    return "rowlock_" + std::to_string(++last);
}

}  // namespace

borrowed_handle::claim::claim(SQLHDBC c) : connection{c} {
    if (!c) throw std::invalid_argument{"no connection handle was given"};
    const std::lock_guard lock{claimed_mutex};
    if (!claimed().insert(c).second)
        throw std::logic_error{
            "there is a provider on this connection already; use that one: locks of one session do not exclude each "
            "other"};
}

borrowed_handle::claim::~claim() {
    const std::lock_guard lock{claimed_mutex};
    claimed().erase(connection);
}

borrowed_handle::borrowed_handle(SQLHDBC theirs, std::string_view backend) : claim_{theirs}, mark_{new_mark()} {
    const connection_handle parent{theirs};
    auto mark = mark_;
    if (!SQL_SUCCEEDED(marked_.allocate(parent))) diagnostics{parent}.fail("this connection cannot be used", backend);
    if (!SQL_SUCCEEDED(SQLSetCursorName(marked_.get(), reinterpret_cast<SQLCHAR*>(mark.data()),
                                        static_cast<SQLSMALLINT>(mark.size()))))
        diagnostics{marked_}.fail("this driver has no names of cursors", backend);
}

borrowed_handle::~borrowed_handle() {
    if (!still_there()) marked_.forget();
}

bool borrowed_handle::still_there() const noexcept {
    std::array<SQLCHAR, 64> now{};
    SQLSMALLINT length = 0;
    return SQL_SUCCEEDED(SQLGetCursorName(marked_.get(), now.data(), static_cast<SQLSMALLINT>(now.size()), &length)) &&
           mark_ == reinterpret_cast<const char*>(now.data());
}

}  // namespace rowlock::odbc
