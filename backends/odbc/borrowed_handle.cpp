#include "borrowed_handle.hpp"

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

// Where a driver would write how many sets of parameters it has seen; a pointer that it only keeps until then.
constexpr SQLINTEGER marked_attribute = SQL_ATTR_PARAMS_PROCESSED_PTR;

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

borrowed_handle::borrowed_handle(SQLHDBC theirs, std::string_view backend) : claim_{theirs} {
    const connection_handle parent{theirs};
    if (!SQL_SUCCEEDED(marked_.allocate(parent))) diagnostics{parent}.fail("this connection cannot be used", backend);
    if (!SQL_SUCCEEDED(SQLSetStmtAttr(marked_.get(), marked_attribute, &mark_, SQL_IS_POINTER)) || !still_there())
        diagnostics{marked_}.fail("this driver does not keep attributes of statements", backend);
}

borrowed_handle::~borrowed_handle() {
    if (!still_there()) marked_.forget();
}

bool borrowed_handle::still_there() const noexcept {
    SQLPOINTER now = nullptr;
    return SQL_SUCCEEDED(SQLGetStmtAttr(marked_.get(), marked_attribute, &now, SQL_IS_POINTER, nullptr)) &&
           now == &mark_;
}

}  // namespace rowlock::odbc
