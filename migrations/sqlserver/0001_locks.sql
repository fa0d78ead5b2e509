-- rowlock, step 1: who holds what, and what must outlive it. Waiting leaves nothing here.
--
-- Run it with `rowlock migrate`, or by hand: sqlcmd -b -I -i 0001_locks.sql
-- It is one batch and one transaction. A user who locks and fences needs this, and no more:
--   GRANT SELECT ON SCHEMA::rowlock TO app;
--   GRANT INSERT, UPDATE ON rowlock.lock TO app;
--   GRANT INSERT, UPDATE, DELETE ON rowlock.part TO app;
-- One who also breaks locks and purges names:
--   GRANT INSERT ON rowlock.[break] TO operator;
--   GRANT UPDATE ON rowlock.floor TO operator;
--   GRANT DELETE ON rowlock.lock TO operator;

SET XACT_ABORT ON;
SET NOCOUNT ON;
BEGIN TRANSACTION;

EXEC('CREATE SCHEMA [rowlock]');

-- The steps that this database has. The checksum is NULL where the file was run by hand.
CREATE TABLE [rowlock].migration (
  number     int NOT NULL PRIMARY KEY,
  name       nvarchar(255) NOT NULL,
  checksum   nvarchar(64) NULL,
  applied_at datetime2(6) NOT NULL DEFAULT SYSUTCDATETIME()
);

-- One row for each name, which stays after release: the last token, and who holds the name exclusively until when. Of
-- those who hold it otherwise it has the number of rows in part.
--
-- The key is the name in UTF-8, as bytes: to SQL Server texts that differ only in blanks at their ends are equal,
-- whatever the collation, and most collations do not tell upper from lower case. The text is for people.
--
-- The second index is for renewals, which move the end of many leases in one statement.
CREATE TABLE [rowlock].lock (
  name_key         varbinary(255) NOT NULL PRIMARY KEY,
  name             nvarchar(255) NOT NULL,
  token            bigint NOT NULL,
  expires_at       datetime2(6) NOT NULL DEFAULT '0001-01-01',
  provider         bigint NULL,
  number           bigint NULL,
  owner            nvarchar(max) NULL,
  since            datetime2(6) NULL,
  sharers          int NOT NULL DEFAULT 0,
  upgraders        int NOT NULL DEFAULT 0,
  permits          int NOT NULL DEFAULT 0,
  upgrading_until  datetime2(6) NOT NULL DEFAULT '0001-01-01',  -- who waits to upgrade lets nobody in until then
  granted_at       datetime2(6) NOT NULL
);
CREATE INDEX lock_of ON [rowlock].lock (provider, number);

-- A share, an upgrade lock, or a permit. mode: 1 shared, 2 upgrade, 3 permit.
CREATE TABLE [rowlock].part (
  provider   bigint NOT NULL,
  number     bigint NOT NULL,
  name_key   varbinary(255) NOT NULL,
  mode       smallint NOT NULL,
  token      bigint NOT NULL,
  expires_at datetime2(6) NOT NULL,
  owner      nvarchar(max) NOT NULL,
  since      datetime2(6) NOT NULL,
  PRIMARY KEY (provider, number)
);
CREATE INDEX part_of ON [rowlock].part (name_key);

-- One row: the highest token of all names that were purged. New names start above it.
CREATE TABLE [rowlock].floor (
  one   bit NOT NULL DEFAULT 1 PRIMARY KEY CHECK (one = 1),
  token bigint NOT NULL
);
INSERT INTO [rowlock].floor (token) VALUES (0);

-- What operators broke, and why.
CREATE TABLE [rowlock].[break] (
  id        bigint IDENTITY(1, 1) PRIMARY KEY,
  name      nvarchar(255) NOT NULL,
  token     bigint NOT NULL,
  owner     nvarchar(max) NOT NULL,
  provider  bigint NOT NULL,
  number    bigint NOT NULL,
  reason    nvarchar(max) NOT NULL,
  broken_by nvarchar(max) NOT NULL,
  broken_at datetime2(6) NOT NULL DEFAULT SYSUTCDATETIME()
);
CREATE INDEX break_of ON [rowlock].[break] (provider, number);

INSERT INTO [rowlock].migration (number, name) VALUES (1, '0001_locks');

COMMIT;
