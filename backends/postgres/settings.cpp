#include "settings.hpp"

namespace rowlock::postgres {
namespace {

constexpr statement where_am_i{"rowlock_where", "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery()"};

// Settings that this version of the server does not have are left out.
//  - Timeouts: a role or a database may have defaults that would end a wait, or a session that holds locks and is idle.
//  - Keepalives: a holder whose host vanished is freed after 5 s + 3 * 2 s, later than its own side notices (5 s).
//    tcp_user_timeout does the same for one who waits. If only its process dies, the server looks for that twice a
//    second, and it leaves the queue. Linux tells servers of closed sockets; elsewhere they may refuse to look.
//  - synchronous_commit: a token that the server could forget in a crash would be handed out twice. remote_apply is
//    stronger and stays.
//  - jit: to compile a statement can take a second, to run one of ours takes less than a millisecond.
//  - search_path: nobody's functions but the server's own.
constexpr statement settle{"rowlock_settle", R"sql(
SELECT pg_catalog.set_config(s.name, w.value, false)
FROM (VALUES ('statement_timeout', '0'),
             ('lock_timeout', '0'),
             ('transaction_timeout', '0'),
             ('idle_in_transaction_session_timeout', '0'),
             ('idle_session_timeout', '0'),
             ('default_transaction_isolation', 'read committed'),
             ('default_transaction_deferrable', 'off'),
             ('synchronous_commit', 'on'),
             ('jit', 'off'),
             ('search_path', 'pg_catalog, pg_temp'),
             ('tcp_keepalives_idle', '5'),
             ('tcp_keepalives_interval', '2'),
             ('tcp_keepalives_count', '3'),
             ('tcp_user_timeout', '8000'),
             ('client_connection_check_interval', '500')) AS w (name, value)
     JOIN pg_catalog.pg_settings AS s USING (name)
WHERE NOT (s.name = 'synchronous_commit' AND s.setting = 'remote_apply')
  AND NOT (s.name = 'client_connection_check_interval' AND pg_catalog.version() !~ 'linux'))sql"};

}  // namespace

void settle_in(session& s, bool transaction_pooled, deadline d) {
    s.prepares = !transaction_pooled;
    const auto here = s.run(where_am_i, d);
    s.pid = static_cast<int>(here.integer(0, 0));
    if (here.truth(0, 1))
        fail(sqlstate::read_only, "its locks would exclude nobody on the primary", s.backend(), s.schema());
    if (!transaction_pooled) (void)s.run(settle, d);
}

}  // namespace rowlock::postgres
