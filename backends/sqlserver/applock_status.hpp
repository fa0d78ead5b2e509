#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <rowlock/status.hpp>

#include "applock_session.hpp"

namespace rowlock::sqlserver {

/// Who holds and who waits. What this provider has to do with, it knows. Of others the server tells in
/// `sys.dm_tran_locks`, where there is such a view and this login may read it (VIEW SERVER STATE).
/// https://learn.microsoft.com/sql/relational-databases/system-dynamic-management-views/sys-dm-tran-locks-transact-sql
///
/// The view has the first 32 characters of a resource, and a hash of it. So a name of up to 31 characters is what it
/// is, and a longer one ends in "..."; names that are locked as a hash are not shown. How often one session shares a
/// name, or how many permits it has, is not told either: it is one. Nor since when: the start of its session is.
///
/// Sessions of this host and process number are taken for the provider's own where it knows of the same, and shown
/// where it does not: other providers of this process, and of containers that have the same number on a host of that
/// name. So of those who share a name in several of these only this provider is shown.
class applock_status {
public:
    explicit applock_status(std::string_view prefix) : prefix_{prefix} {}

    void add_holder(const std::string& name, holder_status h);
    void add_waiter(const std::string& name, waiter_status w);

    /// Asks the server for the others, when all that is known has been added.
    /// @return false: it does not tell
    bool add_others(applock_session& s, deadline d);

    [[nodiscard]] bool empty() const noexcept { return all_.empty(); }
    [[nodiscard]] std::vector<lock_status> sorted() &&;

private:
    template <class Who>
    [[nodiscard]] bool is_known(const std::string& described, lock_mode m, std::vector<Who> lock_status::*who) const;

    const std::string prefix_;
    std::map<std::string, lock_status> all_;
};

}  // namespace rowlock::sqlserver
