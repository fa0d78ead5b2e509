-- rowlock, step 2: how leases are waited for. In a function, which a session parses and plans once; a block of its own is
-- parsed and planned for every wait.
--
-- A role that locks needs this, which PostgreSQL grants to everybody unless told otherwise:
--   GRANT EXECUTE ON FUNCTION rowlock.wait_in_line TO app;

-- Waits for its turn in a queue, `bound` milliseconds at most (0: for ever), and then for the bell, `patience` at most
-- and within the same bound. Both are advisory keys of the session, which keeps what it got. Says 'at once' or
-- 'granted' when it has both, the first if nobody had the bell; 'ended' if not, where it may have the queue's.
--
-- An error that a block catches does not get into the server's log: a timeout is none of its business. A wait can be
-- ended twice, by its timeout and because the server is asked to: the second comes as soon as the first has been
-- caught, and is caught by the outer block.
CREATE FUNCTION rowlock.wait_in_line(queue bigint, bell bigint, shared boolean, bound bigint, patience bigint)
RETURNS text LANGUAGE plpgsql AS $function$
DECLARE
  rest bigint := CASE bound WHEN 0 THEN patience ELSE least(patience, bound) END;
BEGIN
  BEGIN
    IF NOT pg_try_advisory_lock(queue) THEN
      PERFORM set_config('lock_timeout', bound::text, true);
      PERFORM pg_advisory_lock(queue);
      IF bound > 0 THEN
        rest := greatest(1, least(rest, bound - extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000));
      END IF;
    END IF;
    IF (CASE WHEN shared THEN pg_try_advisory_lock_shared(bell) ELSE pg_try_advisory_lock(bell) END) THEN
      RETURN 'at once';
    END IF;
    PERFORM set_config('lock_timeout', rest::text, true);
    IF shared THEN
      PERFORM pg_advisory_lock_shared(bell);
    ELSE
      PERFORM pg_advisory_lock(bell);
    END IF;
    RETURN 'granted';
  EXCEPTION WHEN lock_not_available OR query_canceled THEN
    RETURN 'ended';
  END;
EXCEPTION WHEN lock_not_available OR query_canceled THEN
  RETURN 'ended';
END $function$;

INSERT INTO rowlock.migration (number, name) VALUES (2, '0002_waits');
