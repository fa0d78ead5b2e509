#include "borrowed_handle.hpp"

#include <stdexcept>

#include "diagnostics.hpp"

namespace rowlock::odbc {
namespace {

SQLHDBC given(SQLHDBC c) {
    if (!c) throw std::invalid_argument{"no connection handle was given"};
    return c;
}

// Where a driver would write how many sets of parameters it has seen; a pointer that it only keeps until then.
constexpr SQLINTEGER marked_attribute = SQL_ATTR_PARAMS_PROCESSED_PTR;

}  // namespace

borrowed_handle::borrowed_handle(SQLHDBC theirs, std::string_view backend)
    : claim_{given(theirs)}, theirs_{theirs}, of_driver_{in_driver()} {
    const connection_handle parent{theirs};
    if (!SQL_SUCCEEDED(marked_.allocate(parent))) diagnostics{parent}.fail("this connection cannot be used", backend);
    if (!SQL_SUCCEEDED(SQLSetStmtAttr(marked_.get(), marked_attribute, &mark_, SQL_IS_POINTER)) || !still_there())
        diagnostics{marked_}.fail("this driver does not keep attributes of statements", backend);
}

borrowed_handle::~borrowed_handle() {
    if (!still_there()) marked_.forget();
}

SQLHANDLE borrowed_handle::in_driver() const noexcept {
    SQLHANDLE found = nullptr;
    return SQL_SUCCEEDED(SQLGetInfo(theirs_, SQL_DRIVER_HDBC, &found, sizeof found, nullptr)) ? found : nullptr;
}

bool borrowed_handle::still_there() const noexcept {
    auto* const now_in_driver = in_driver();
    if (!now_in_driver || now_in_driver != of_driver_) return false;
    SQLPOINTER now = nullptr;
    return SQL_SUCCEEDED(SQLGetStmtAttr(marked_.get(), marked_attribute, &now, SQL_IS_POINTER, nullptr)) &&
           now == &mark_;
}

}  // namespace rowlock::odbc
