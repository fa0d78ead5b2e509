-- rowlock, step 1: who holds what, and what must outlive it. Waiting leaves nothing here.
--
-- Run it with `rowlock migrate`, or by hand: psql -v ON_ERROR_STOP=1 -1 -f 0001_locks.sql
-- A role that locks and fences needs this, and no more:
--   GRANT USAGE ON SCHEMA rowlock TO app;
--   GRANT SELECT ON ALL TABLES IN SCHEMA rowlock TO app;
--   GRANT INSERT, UPDATE ON rowlock.lock, rowlock.part TO app;
--   GRANT UPDATE (one) ON rowlock.floor TO app;
-- One that also breaks locks and purges names:
--   GRANT INSERT ON rowlock.break TO operator;
--   GRANT UPDATE ON rowlock.floor TO operator;
--   GRANT DELETE ON rowlock.lock, rowlock.part TO operator;

CREATE SCHEMA rowlock;

-- The steps that this database has. The checksum is NULL where the file was run by hand.
CREATE TABLE rowlock.migration (
  number     integer PRIMARY KEY,
  name       text NOT NULL,
  checksum   text,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row for each name, which stays after release: the last token, and who holds the name exclusively until when. Of
-- those who hold it otherwise it has the number of rows in rowlock.part. No index but the one on the name: then an
-- update stays in its page (HOT), and half of each page is left free for that.
CREATE TABLE rowlock.lock (
  name             text COLLATE "C" PRIMARY KEY,
  token            bigint NOT NULL,
  expires_at       timestamptz NOT NULL DEFAULT '-infinity',
  provider         bigint,
  number           bigint,
  owner            text,
  since            timestamptz,
  sharers          integer NOT NULL DEFAULT 0,
  upgraders        integer NOT NULL DEFAULT 0,
  permits          integer NOT NULL DEFAULT 0,
  upgrading_until  timestamptz NOT NULL DEFAULT '-infinity',  -- who waits to upgrade lets nobody in until then
  granted_at       timestamptz NOT NULL
) WITH (fillfactor = 50);

-- A share, an upgrade lock, or a permit. mode: 1 shared, 2 upgrade, 3 permit. Free rows (provider is NULL) are used again.
CREATE TABLE rowlock.part (
  name       text COLLATE "C" NOT NULL,
  slot       bigint NOT NULL,
  mode       smallint NOT NULL,
  token      bigint NOT NULL,
  expires_at timestamptz NOT NULL,
  provider   bigint,
  number     bigint,
  owner      text,
  since      timestamptz,
  PRIMARY KEY (name, slot)
) WITH (fillfactor = 50);

-- One row: the highest token of all names that were purged. New names start above it, and lock it for that while they
-- are inserted, so that no purge gets in between. That takes the right to update a column: of this one, which can only be
-- true, so nothing can be changed with it.
CREATE TABLE rowlock.floor (
  one   boolean PRIMARY KEY DEFAULT true CHECK (one),
  token bigint NOT NULL
);

INSERT INTO rowlock.floor (token) VALUES (0);

-- What operators broke, and why.
CREATE TABLE rowlock.break (
  id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name      text NOT NULL,
  token     bigint NOT NULL,
  owner     text NOT NULL,
  provider  bigint NOT NULL,
  number    bigint NOT NULL,
  reason    text NOT NULL,
  broken_by text NOT NULL,
  broken_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX break_of ON rowlock.break (provider, number);

INSERT INTO rowlock.migration (number, name) VALUES (1, '0001_locks');
