#pragma once

#include <utility>

#include <sql.h>
#include <sqlext.h>

namespace rowlock::odbc {

/// A handle of ODBC, freed at its end; or one that is somebody else's.
template <SQLSMALLINT Type>
class handle {
public:
    handle() noexcept = default;
    /// Somebody else's: it is not freed here.
    explicit handle(SQLHANDLE theirs) noexcept : handle_{theirs}, ours_{false} {}
    handle(handle&& other) noexcept : handle_{std::exchange(other.handle_, nullptr)}, ours_{other.ours_} {}
    handle& operator=(handle&&) = delete;
    ~handle() {
        if (handle_ && ours_) SQLFreeHandle(Type, handle_);
    }

    static constexpr SQLSMALLINT type = Type;
    [[nodiscard]] SQLHANDLE get() const noexcept { return handle_; }
    [[nodiscard]] bool is_ours() const noexcept { return ours_; }

    /// @return what ODBC says of it; the reason, if it failed, is a diagnostic of `parent`
    template <class Parent>
    SQLRETURN allocate(const Parent& parent) noexcept {
        return SQLAllocHandle(Type, parent.get(), &handle_);
    }
    SQLRETURN allocate() noexcept { return SQLAllocHandle(Type, SQL_NULL_HANDLE, &handle_); }

private:
    SQLHANDLE handle_ = nullptr;
    bool ours_ = true;
};

using environment_handle = handle<SQL_HANDLE_ENV>;
using connection_handle = handle<SQL_HANDLE_DBC>;
using statement_handle = handle<SQL_HANDLE_STMT>;

}  // namespace rowlock::odbc
