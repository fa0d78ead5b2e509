-- A stand-in for SQL Server's application locks, on PostgreSQL's advisory locks, for tests through ODBC. It answers the
-- contract of sp_getapplock, sp_releaseapplock and APPLOCK_MODE under real concurrency. It shows nothing about T-SQL, TDS
-- or SQL Server, and differs from it in this: what a session took in two modes it releases the stronger one first, as
-- Babelfish does, where SQL Server keeps the stronger one to the last release; APPLOCK_MODE does not tell the owners
-- apart; and what a transaction owns only its end releases.
--
-- The keys of one resource, and which mode holds what:
--
--   mode            | main      | sharers | users  | update
--   Exclusive       | exclusive |         |        |
--   Shared          | share     | share   |        |
--   Update          | share     | share   |        | exclusive
--   IntentExclusive | share     |         | share  |
--   IntentShared    | share     |         |        |
--
-- All but conversions go through a gate, which is held while waiting: so they are served in order. Within it Shared and
-- Update wait for users to leave, and IntentExclusive for sharers. A conversion waits for the main key at once, and
-- PostgreSQL puts it before those whom its holder is in the way of.

CREATE FUNCTION applock_key(resource text, part text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT hashtextextended(resource, array_position('{main,sharers,users,update,gate}'::text[], part))
$$;

CREATE FUNCTION applock_holds(key bigint, shared boolean) RETURNS boolean LANGUAGE sql AS $$
  SELECT EXISTS (SELECT FROM pg_locks
                 WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND pid = pg_backend_pid()
                   AND mode = CASE WHEN shared THEN 'ShareLock' ELSE 'ExclusiveLock' END
                   AND (classid::bigint << 32 | objid::bigint) = key)
$$;

CREATE FUNCTION applock_unlock(key bigint, shared boolean) RETURNS boolean LANGUAGE sql AS $$
  SELECT CASE WHEN shared THEN pg_advisory_unlock_shared(key) ELSE pg_advisory_unlock(key) END
$$;

CREATE FUNCTION applock_lock(key bigint, shared boolean, owner text) RETURNS void LANGUAGE sql AS $$
  SELECT CASE WHEN owner = 'Session' THEN CASE WHEN shared THEN pg_advisory_lock_shared(key)
                                               ELSE pg_advisory_lock(key) END
              WHEN shared THEN pg_advisory_xact_lock_shared(key)
              ELSE pg_advisory_xact_lock(key) END
$$;

CREATE FUNCTION applock_try(key bigint, shared boolean, owner text) RETURNS boolean LANGUAGE sql AS $$
  SELECT CASE WHEN owner = 'Session' THEN CASE WHEN shared THEN pg_try_advisory_lock_shared(key)
                                               ELSE pg_try_advisory_lock(key) END
              WHEN shared THEN pg_try_advisory_xact_lock_shared(key)
              ELSE pg_try_advisory_xact_lock(key) END
$$;

-- BEGIN came in a message of its own, before the statement. True always where a driver prepares statements in the server
-- (UseServerSidePrepare of psqlODBC), as there each statement is several messages.
CREATE FUNCTION applock_in_transaction() RETURNS boolean LANGUAGE sql AS $$
  SELECT transaction_timestamp() < statement_timestamp()
$$;

CREATE FUNCTION xact_state() RETURNS integer LANGUAGE sql AS $$
  SELECT applock_in_transaction()::integer
$$;

-- A cancellation may come between any two statements of a function, also where it tidies up after another one. Whoever
-- holds a gate outside of a call was cut off in it, and had nothing of that resource before. The gate goes last.
CREATE FUNCTION applock_tidy(resource text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF applock_holds(applock_key(resource, 'gate'), false) THEN
    PERFORM applock_unlock(applock_key(resource, s.part), s.shared)
    FROM (SELECT part, shared FROM unnest('{main,sharers,users,update,gate}'::text[]) WITH ORDINALITY AS p (part, n),
                 unnest('{true,false}'::boolean[]) AS shared ORDER BY n) AS s
    WHERE applock_holds(applock_key(resource, s.part), s.shared);
  END IF;
END $$;

CREATE FUNCTION applock_mode(principal text, resource text, owner text) RETURNS text LANGUAGE sql AS $$
  SELECT applock_tidy(resource);
  SELECT CASE WHEN applock_holds(applock_key(resource, 'main'), false) THEN 'Exclusive'
              WHEN applock_holds(applock_key(resource, 'update'), false) THEN 'Update'
              WHEN applock_holds(applock_key(resource, 'sharers'), true) THEN 'Shared'
              WHEN applock_holds(applock_key(resource, 'users'), true) THEN 'IntentExclusive'
              WHEN applock_holds(applock_key(resource, 'main'), true) THEN 'IntentShared'
              ELSE 'NoLock' END
$$;

-- What each mode is made of, in this order: the main key, which a conversion waits for, is never held while waiting for
-- a key of who might convert. What is not kept is only waited for.
CREATE FUNCTION applock_steps(wanted text)
RETURNS TABLE (part text, shared boolean, keeps boolean) LANGUAGE sql IMMUTABLE AS $$
  SELECT s.part, s.shared, s.keeps
  FROM (VALUES ('Exclusive', 1, 'main', false, true),
               ('Shared', 1, 'users', false, false), ('Shared', 2, 'main', true, true),
               ('Shared', 3, 'sharers', true, true),
               ('Update', 1, 'update', false, true), ('Update', 2, 'users', false, false),
               ('Update', 3, 'main', true, true), ('Update', 4, 'sharers', true, true),
               ('IntentExclusive', 1, 'sharers', false, false), ('IntentExclusive', 2, 'main', true, true),
               ('IntentExclusive', 3, 'users', true, true),
               ('IntentShared', 1, 'main', true, true)) AS s (mode, n, part, shared, keeps)
  WHERE s.mode = wanted ORDER BY s.n
$$;

-- The setting is there to be put back at the end: the transaction may be the caller's.
CREATE FUNCTION sp_getapplock(resource text, lockmode text, lockowner text, locktimeout integer) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = 0 AS $$
DECLARE
  until CONSTANT timestamptz := clock_timestamp() + locktimeout * interval '1 millisecond';
  held CONSTANT text := applock_mode('public', resource, lockowner);
  gate CONSTANT bigint := applock_key(resource, 'gate');
  step record;
  key bigint;
  owner text;
  outcome integer := 0;
BEGIN
  IF lockowner NOT IN ('Session', 'Transaction') OR locktimeout < -1
     OR lockmode NOT IN ('Exclusive', 'Shared', 'Update', 'IntentExclusive', 'IntentShared')
  THEN RETURN -999; END IF;
  IF lockowner = 'Transaction' AND NOT applock_in_transaction() THEN
    RAISE 'You attempted to acquire a transactional application lock without an active transaction.';
  END IF;

  IF held = lockmode THEN  -- once more, at once
    PERFORM applock_lock(applock_key(resource, s.part), s.shared, lockowner)
    FROM applock_steps(lockmode) AS s WHERE s.keeps;
    RETURN 0;
  END IF;

  BEGIN
    FOR step IN SELECT 'gate' AS part, false AS shared, false AS keeps WHERE held = 'NoLock'
                UNION ALL SELECT s.part, s.shared, s.keeps FROM applock_steps(lockmode) AS s
    LOOP
      key := applock_key(resource, step.part);
      owner := CASE WHEN step.keeps THEN lockowner ELSE 'Session' END;
      IF NOT applock_try(key, step.shared, owner) THEN
        outcome := 1;
        IF locktimeout = 0 THEN RAISE lock_not_available; END IF;
        PERFORM set_config('lock_timeout', CASE WHEN locktimeout = -1 THEN 0
          ELSE greatest(1, ceil(extract(epoch FROM until - clock_timestamp()) * 1000)) END::text, true);
        PERFORM applock_lock(key, step.shared, owner);
      END IF;
      IF NOT step.keeps AND key <> gate THEN PERFORM pg_advisory_unlock(key); END IF;
    END LOOP;
    IF held = 'NoLock' THEN PERFORM pg_advisory_unlock(gate); END IF;
    RETURN outcome;
  EXCEPTION
    WHEN lock_not_available THEN outcome := -1;
    WHEN query_canceled THEN outcome := -2;
    WHEN deadlock_detected THEN outcome := -3;
  END;

  -- Nothing must be left, and another cancellation must not come in between. What was waited for when the time was over
  -- may have been granted all the same. What the transaction owned is gone with the block.
  LOOP
    BEGIN
      PERFORM applock_unlock(applock_key(resource, s.part), s.shared)
      FROM (SELECT t.part, t.shared FROM applock_steps(lockmode) AS t WHERE lockowner = 'Session' OR NOT t.keeps
            UNION ALL SELECT 'gate', false) AS s
      WHERE applock_holds(applock_key(resource, s.part), s.shared);
      RETURN outcome;
    EXCEPTION WHEN query_canceled THEN NULL;
    END;
  END LOOP;
END $$;

CREATE FUNCTION sp_releaseapplock(resource text, lockowner text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  held CONSTANT text := applock_mode('public', resource, lockowner);
BEGIN
  IF held = 'NoLock' THEN RETURN -999; END IF;
  PERFORM applock_unlock(applock_key(resource, s.part), s.shared) FROM applock_steps(held) AS s WHERE s.keeps;
  RETURN 0;
END $$;
