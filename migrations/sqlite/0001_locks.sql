-- rowlock, step 1: who holds what, who waits, and what must outlive both.
--
-- Run it with `rowlock migrate`, or by hand: sqlite3 -bail locks.db < 0001_locks.sql
-- Times that decide are microseconds of the host's boot clock; wall-clock times are for people.

-- The steps that this database has. The checksum is NULL where the file was run by hand.
CREATE TABLE rowlock_migration (
  number     INTEGER PRIMARY KEY,
  name       TEXT NOT NULL,
  checksum   TEXT,
  applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT;

-- One row. A new boot of the host ends every lease, and raises boot_number, which is the high part of every token:
-- so tokens do not go back even if the last commits before a power cut are lost. token_floor stands for purged names.
CREATE TABLE rowlock_host (
  one         INTEGER PRIMARY KEY CHECK (one = 1),
  boot_id     TEXT NOT NULL,
  boot_number INTEGER NOT NULL,
  token_floor INTEGER NOT NULL
) STRICT;

INSERT INTO rowlock_host (one, boot_id, boot_number, token_floor) VALUES (1, '', 0, 0);

-- The last token of each name. Rows stay after release.
CREATE TABLE rowlock_lock (
  name          TEXT PRIMARY KEY,
  token         INTEGER NOT NULL,
  granted_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row for each handle that holds a name, and for each acquisition that waits for it: a waiting row is a lease that is
-- still to come. Both in one table, clustered by name, so that a hand-over changes one page.
-- turn: 0 holds, 1 waits to upgrade what it holds, 2 waits; in this order, and then by position, they are served.
-- position: of a holder its token, of a waiter its place in the queue. mode: 0 exclusive, 1 shared, 2 upgrade, 3 permit of a semaphore.
-- (provider, number) is the id of the acquisition; (arena, slot, incarnation) is the process, in PATH-rowlock.
-- expires_at_us: of a waiter 0.
CREATE TABLE rowlock_lease (
  name          TEXT NOT NULL,
  turn          INTEGER NOT NULL,
  position      INTEGER NOT NULL,
  mode          INTEGER NOT NULL,
  permits       INTEGER NOT NULL,
  provider      INTEGER NOT NULL,
  number        INTEGER NOT NULL,
  owner         TEXT NOT NULL,
  arena         INTEGER NOT NULL,
  slot          INTEGER NOT NULL,
  incarnation   INTEGER NOT NULL,
  since_ms      INTEGER NOT NULL,
  ttl_us        INTEGER NOT NULL,
  expires_at_us INTEGER NOT NULL,
  PRIMARY KEY (name, turn, position)
) STRICT, WITHOUT ROWID;

-- What operators broke, and why.
CREATE TABLE rowlock_break (
  id        INTEGER PRIMARY KEY,
  name      TEXT NOT NULL,
  token     INTEGER NOT NULL,
  owner     TEXT NOT NULL,
  provider  INTEGER NOT NULL,
  number    INTEGER NOT NULL,
  reason    TEXT NOT NULL,
  broken_by TEXT NOT NULL,
  broken_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT;

CREATE INDEX rowlock_break_of ON rowlock_break (provider, number);

INSERT INTO rowlock_migration (number, name) VALUES (1, '0001_locks');
