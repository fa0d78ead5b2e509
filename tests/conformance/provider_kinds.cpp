#include "provider_kind.hpp"

#include "kinds/kinds.hpp"

namespace rowlock::conformance {

std::vector<provider_kind> provider_kinds() {
    std::vector<provider_kind> all;
    add_memory(all);
    add_flock(all);
#ifdef ROWLOCK_HAVE_SQLITE
    add_sqlite(all);
#endif
#ifdef ROWLOCK_HAVE_POSTGRES
    add_postgres(all);
#ifdef ROWLOCK_HAVE_SQLSERVER
    add_applock_stand_in(all);
#endif
#endif
#ifdef ROWLOCK_HAVE_SQLSERVER
    add_sqlserver(all);
#endif
    return all;
}

std::vector<absent_kind> absent_kinds() {
    std::vector<absent_kind> all;
#ifdef ROWLOCK_HAVE_SQLSERVER
    add_absent_sqlserver(all);
#endif
    return all;
}

}  // namespace rowlock::conformance
