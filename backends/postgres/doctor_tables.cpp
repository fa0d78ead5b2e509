#include "doctor_checks.hpp"

namespace rowlock::postgres {
namespace {

// $1 schema. The rights that are missing, to lock and to operate.
constexpr statement privileges{"rowlock_doctor_privileges", R"sql(
WITH needed (kind, name, privilege) AS (VALUES
  ('lock', 'migration', 'SELECT'), ('lock', 'lock', 'SELECT'), ('lock', 'lock', 'INSERT'), ('lock', 'lock', 'UPDATE'),
  ('lock', 'part', 'SELECT'), ('lock', 'part', 'INSERT'), ('lock', 'part', 'UPDATE'), ('lock', 'floor', 'SELECT'),
  ('lock', 'floor', 'UPDATE (one)'), ('lock', 'break', 'SELECT'),
  ('operate', 'lock', 'DELETE'), ('operate', 'part', 'DELETE'), ('operate', 'floor', 'UPDATE'),
  ('operate', 'break', 'INSERT')
), missing AS (
  SELECT n.kind, n.privilege || ' ON ' || $1::text || '.' || n.name AS text
  FROM needed AS n JOIN pg_catalog.pg_namespace AS s ON s.nspname = $1
       LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = s.oid AND c.relname = n.name
  WHERE NOT coalesce(CASE n.privilege WHEN 'UPDATE (one)' THEN has_column_privilege(c.oid, 'one', 'UPDATE')
                                      ELSE has_table_privilege(c.oid, n.privilege) END, false)
  UNION ALL
  SELECT 'lock', 'USAGE ON SCHEMA ' || $1 FROM pg_catalog.pg_namespace
  WHERE nspname = $1 AND NOT has_schema_privilege(oid, 'USAGE')
  UNION ALL
  SELECT 'lock', 'EXECUTE ON FUNCTION ' || $1 || '.' || p.proname
  FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS s ON s.oid = p.pronamespace
  WHERE s.nspname = $1 AND p.proname = 'wait_in_line' AND NOT has_function_privilege(p.oid, 'EXECUTE')
)
SELECT coalesce(string_agg(text, ', ' ORDER BY text) FILTER (WHERE kind = 'lock'), ''),
       coalesce(string_agg(text, ', ' ORDER BY text) FILTER (WHERE kind = 'operate'), ''), current_user::text
FROM missing)sql"};

// $1 schema
constexpr statement unlogged{"rowlock_doctor_unlogged", R"sql(
SELECT coalesce(string_agg(c.relname, ', ' ORDER BY c.relname), '')
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relkind = 'r' AND c.relpersistence <> 'p'
  AND c.relname IN ('lock', 'part', 'floor', 'break', 'migration'))sql"};

// $1 schema. Indexes besides the primary key, free space, updates and how many stayed in their page, size.
constexpr statement updates{"rowlock_doctor_updates", R"sql(
SELECT (SELECT coalesce(string_agg(i.indexrelid::regclass::text, ', '), '') FROM pg_catalog.pg_index AS i
        WHERE i.indrelid = c.oid AND NOT i.indisprimary),
       coalesce('fillfactor=50' = ANY (c.reloptions), false),
       pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_hot_updated(c.oid), pg_relation_size(c.oid)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = $1::text AND c.relname = 'lock')sql"};

}  // namespace

finding check_privileges(const examination& e) {
    const auto row = e.s.run(privileges, e.d, e.s.schema());
    const auto to_lock = row.text(0, 0), to_operate = row.text(0, 1), role = row.text(0, 2);
    const auto grant = [&](const std::string& missing) {
        return "let the owner of the tables grant to " + role + ": " + missing;
    };
    if (!to_lock.empty()) return {e.bad_for_leases(), "privileges", role + " may not lock", grant(to_lock)};
    if (to_operate.empty()) return good("privileges", role + " may lock, break and purge");
    return {severity::good, "privileges", role + " may lock, but not break or purge (" + to_operate + ")", {}};
}

finding check_persistence(const examination& e) {
    const auto found = e.s.run(unlogged, e.d, e.s.schema()).text(0, 0);
    if (found.empty()) return good("tables", "logged");
    return {severity::problem, "tables", "unlogged: " + found + "; a crash empties them, and tokens begin anew",
            "run ALTER TABLE " + e.s.schema() + ".NAME SET LOGGED on each of them"};
}

finding check_hot_updates(const examination& e) {
    const auto row = e.s.run(updates, e.d, e.s.schema());
    const auto indexes = row.text(0, 0);
    if (!indexes.empty())
        return {severity::advice, "updates", "there are more indexes on the table of locks: " + indexes,
                "drop them: with an index on what changes, every lock writes a new entry, and the table grows"};
    if (!row.truth(0, 1))
        return {severity::advice, "updates", "the table of locks is not half empty",
                "run ALTER TABLE " + e.s.schema() + ".lock SET (fillfactor = 50), then VACUUM FULL it in a quiet hour"};
    const auto all = row.integer(0, 2), hot = row.integer(0, 3);
    auto found = std::to_string(row.integer(0, 4) / 1024) + " KB";
    if (all < 1000) return good("updates", found);
    found += ", " + std::to_string(100 * hot / all) + " % in place";
    if (10 * hot >= 9 * all) return good("updates", found);
    return {severity::advice, "updates", found,
            "look for old snapshots, let autovacuum come more often to " + e.s.schema() +
                ".lock, then VACUUM FULL it in a quiet hour"};
}

}  // namespace rowlock::postgres
