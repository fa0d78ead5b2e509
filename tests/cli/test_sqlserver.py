"""The command on SQL Server, through ODBC: leases and applocks, and what is said when something is wrong."""
import json
import os
import re
import time
import unittest
import uuid

from harness import BUSY, DATABASE, LOST, USAGE, CommandTest, is_alive, main, wait_until
from odbc import Odbc, OdbcError

NAMED = os.environ.get("ROWLOCK_TEST_SQLSERVER", "")
NOT_NAMED = "ROWLOCK_TEST_SQLSERVER does not name a server that speaks TDS"


def changed(connection_string, **values):
    """The connection string with other values for some of its keywords."""
    for keyword, value in values.items():
        connection_string = re.sub(rf"(?i)(^|;){keyword}=[^;]*", "", connection_string) + f";{keyword}={value}"
    return connection_string


class ErrorTest(CommandTest):
    """A command that fails says why in one line, and runs nothing."""

    def fails(self, rest, *parts, schemes=("sqlserver+lease", "sqlserver+applock"), expect=DATABASE):
        for scheme in schemes:
            with self.subTest(scheme=scheme):
                began = time.monotonic()
                result = self.rowlock("--db", f"{scheme}:{rest}", "run", "nightly", "--", "touch", "ran", expect=expect)
                self.assertLess(time.monotonic() - began, 30)
                self.assert_one_line(result, *parts)
                self.assertFalse(self.path("ran").exists())
                for command in (["status"], ["migrate"], ["break", "nightly", "--reason", "x"]):
                    result = self.rowlock("--db", f"{scheme}:{rest}", *command, expect=expect)
                    self.assert_one_line(result, *parts)


class SqlServerNobodyThere(ErrorTest):
    """Needs no server."""

    def test_a_driver_that_is_missing(self):
        self.fails("DRIVER={no such driver};SERVER=x", "cannot connect to SQL Server", "no such driver")

    def test_a_connection_string_that_makes_no_sense(self):
        for rest in ("", "nonsense", "=;=", "DSN=no such name"):
            with self.subTest(rest=rest):
                self.fails(rest, "cannot connect to SQL Server")

    def test_a_driver_that_would_connect_anew_unasked(self):
        result = self.rowlock("--db", "sqlserver:DRIVER={x};ConnectRetryCount=2", "run", "n", "--", "true",
                              expect=USAGE)
        self.assert_one_line(result, "ConnectRetryCount=2")

    def test_a_server_that_is_down(self):
        self.fails("DRIVER={FreeTDS};SERVER=127.0.0.1;PORT=1;TDS_Version=7.4", "cannot connect to SQL Server")

    def test_doctor(self):
        result = self.rowlock("--db", "sqlserver:DRIVER={no such driver}", "doctor", expect=1)
        self.assertRegex(result.stdout, r"(?m)^problem +connection: .*no such driver")


@unittest.skipUnless(NAMED, NOT_NAMED)
class SqlServerTest(CommandTest):
    """Every test has a schema of its own, and names that nobody else uses: applocks are the whole database's."""

    def setUp(self):
        super().setUp()
        self.past = Odbc(NAMED)
        self.addCleanup(self.past.close)
        self.was_repeated = False
        self.schema = "rowlock_cli_" + uuid.uuid4().hex[:12]
        self.name = "cli " + uuid.uuid4().hex[:12]
        self.addCleanup(self.drop)
        self.env["ROWLOCK_SCHEMA"] = self.schema
        self.use("sqlserver+lease")

    def use(self, scheme):
        self.env["ROWLOCK_DB"] = f"{scheme}:{NAMED}"

    # The command allows a statement 5 s. A session of Babelfish takes seconds of the processor to get going.
    NOT_IN_TIME = "within the time allowed"

    def rowlock(self, *arguments, expect=0, **more):
        self.was_repeated = False
        for _ in range(20):
            result = super().rowlock(*arguments, expect=None, **more)
            if result.returncode != DATABASE or self.NOT_IN_TIME not in result.stderr:
                break
            self.was_repeated = True
        if expect is not None:
            self.assertEqual(result.returncode, expect, f"{result.args}\n{result.stdout}\n{result.stderr}")
        return result

    def start_job(self, *options, gate="gate", started="started", status=0):
        """Starts `rowlock run` of a job that waits at the gate, and waits until it does."""
        for _ in range(20):
            job = self.start("run", *options, self.name, "--", *self.waiting_job(gate, started, status))
            wait_until(lambda: self.lines_of(started) or job.poll() is not None, "it has the lock, or has failed", 60)
            if job.poll() is None:
                return job
            self.assertIn(self.NOT_IN_TIME, job.err.read_text())
        self.fail("the server does not come to answer")

    def drop(self):
        if not self.has_schema():
            return
        for table in ("lock", "part", "floor", "break", "migration"):
            self.past.sql(f"DROP TABLE IF EXISTS [{self.schema}].[{table}]")
        self.past.sql(f"DROP SCHEMA [{self.schema}]")

    def has_schema(self):
        return self.past.sql(f"SELECT COUNT(*) FROM sys.schemas WHERE name = '{self.schema}'") == "1"

    def sessions(self, program):
        return int(self.past.sql(f"SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE program_name = '{program}'"))

    def tells_of_applocks(self):
        try:
            self.past.sql("SELECT COUNT(*) FROM sys.dm_tran_locks")
        except OdbcError:
            return False
        return True

    def kill(self, program):
        """Ends all sessions of it, whether or not others begin meanwhile."""
        while session := self.past.sql(
                f"SELECT TOP 1 session_id FROM sys.dm_exec_sessions WHERE program_name = '{program}'"):
            self.past.sql(f"KILL {session}")
            wait_until(lambda: self.past.sql("SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE program_name = "
                                             f"'{program}' AND session_id = {session}") == "0", "it has ended")

    def each(self):
        """Both kinds of locks; what differs is said in the tests."""
        self.rowlock("migrate")
        for number, scheme in enumerate(("sqlserver+lease", "sqlserver+applock")):
            with self.subTest(scheme=scheme):
                self.use(scheme)
                yield scheme, f"gate{number}", f"started{number}"


class SqlServerTables(SqlServerTest):
    def test_plan_check_and_doing_it(self):
        steps = self.rowlock("migrate", "--plan").stdout.split()
        self.assertIn("0001_locks", steps)
        self.assert_one_line(self.rowlock("migrate", "--check", expect=1), "not up to date: 0001_locks")
        self.assertFalse(self.has_schema())
        self.assertEqual(self.rowlock("migrate").stdout, "".join(f"applied {step}\n" for step in steps))
        self.assertEqual(self.rowlock("migrate", "--plan").stdout, "up to date\n")
        self.rowlock("migrate", "--check")
        self.rowlock("run", self.name, "--", "true")

    def test_printed_sql_makes_a_usable_database(self):
        self.past.sql(self.rowlock("migrate", "--print").stdout)
        self.rowlock("migrate", "--check")
        self.rowlock("run", self.name, "--", "true")
        self.assertEqual(self.past.sql(f"SELECT name FROM [{self.schema}].lock"), self.name)

    def test_several_at_once(self):
        for _ in range(4):
            self.start("migrate")
        shown = [self.end_of(process, patience=120) for process in self.started]
        self.assertEqual([result.returncode for result in shown], [0] * 4, [result.stderr for result in shown])
        self.assertEqual(sum("applied" in result.stdout for result in shown), 1)

    def test_not_migrated(self):
        for arguments in (["run", self.name, "--", "touch", "ran"], ["status"], ["break", self.name, "--reason", "x"],
                          ["purge", "--idle", "1d"]):
            with self.subTest(arguments=arguments):
                self.assert_one_line(self.rowlock(*arguments, expect=DATABASE), "rowlock migrate")
        self.assertFalse(self.path("ran").exists())
        self.assertFalse(self.has_schema())

    def test_doctor(self):
        self.assertIn("rowlock migrate", self.rowlock("doctor", expect=1).stdout)
        self.rowlock("migrate")
        shown = json.loads(self.rowlock("doctor", "--json").stdout)
        findings = {finding["what"]: finding for finding in shown["findings"]}
        for what in ("connection", "applocks", "pooling", "tables"):
            self.assertEqual(findings[what]["level"], "good", findings[what])
        self.use("sqlserver+applock")
        self.assertNotIn("tables", self.rowlock("doctor").stdout)


class SqlServerErrors(ErrorTest, SqlServerTest):
    def test_a_database_that_is_missing(self):
        self.fails(changed(NAMED, DATABASE="no_such_database"), "cannot connect to SQL Server", "no_such_database")

    def test_a_login_that_is_missing(self):
        self.fails(changed(NAMED, UID="nobody_at_all"), "cannot connect to SQL Server", "nobody_at_all")

    def test_a_wrong_password(self):
        wrong = changed(NAMED, PWD="xyzzy")
        try:
            Odbc(wrong).close()
        except OdbcError:
            pass
        else:
            self.skipTest("this server lets everybody in, whatever the password")
        self.fails(wrong, "cannot connect to SQL Server")
        self.assertNotIn("xyzzy", "".join(process.err.read_text() for process in self.started))


class SqlServerRun(SqlServerTest):
    def test_one_runs_the_other_waits_or_is_told_that_it_is_busy(self):
        for scheme, gate, started in self.each():
            owner = f"second {self.schema} {scheme}"
            first = self.start_job("--owner", "first", gate=gate, started=started, status=3)
            self.assert_one_line(self.rowlock("run", "--no-wait", self.name, "--", "true", expect=BUSY),
                                 f'busy: "{self.name}" is held by')
            self.rowlock("run", "--wait", "50ms", self.name, "--", "true", expect=BUSY)
            second = self.start("run", "--owner", owner, self.name, "--", "sh", "-c", f"echo ran > ran.{scheme}")
            wait_until(lambda: self.sessions(owner) > 0, "the second one has come")
            self.assertFalse(self.path(f"ran.{scheme}").exists())
            self.open_gate(gate)
            self.assertEqual(self.end_of(first).returncode, 3)
            waited = self.end_of(second)
            if waited.returncode == DATABASE and self.NOT_IN_TIME in waited.stderr:
                self.skipTest("the server takes longer to answer than the command allows")
            self.assertEqual(waited.returncode, 0, waited.stderr)
            self.assertEqual(self.text_of(f"ran.{scheme}"), "ran\n")

    def test_status(self):
        for scheme, gate, started in self.each():
            job = self.start_job("--owner", "me", gate=gate, started=started)
            shown = self.rowlock("status", self.name, "--json", expect=None)
            if scheme == "sqlserver+applock" and not self.tells_of_applocks():
                self.assertEqual(shown.returncode, USAGE)
                self.assert_one_line(shown, "sys.dm_tran_locks", "VIEW SERVER STATE")
            else:
                self.assertEqual(shown.returncode, 0, shown.stderr)
                lock, = json.loads(shown.stdout)["locks"]
                holder, = lock["holders"]
                self.assertEqual((lock["name"], holder["mode"]), (self.name, "exclusive"))
                self.assertIn("me", holder["owner"])
                self.assertEqual(holder["token"] is None, scheme == "sqlserver+applock")
            self.open_gate(gate)
            self.end_of(job)
        self.use("sqlserver+lease")
        self.assertEqual(self.status(self.name), [])

    def test_a_lease_that_is_broken_by_an_operator(self):
        self.rowlock("migrate")
        job = self.start_job("--ttl", "20s")
        pid = self.number_in("started")
        broken = self.rowlock("break", self.name, "--reason", "host db3 'hangs'", expect=None)
        if self.was_repeated and broken.returncode == 1:  # the first one was carried out, and answered too late
            self.assert_one_line(broken, "nobody held")
        else:
            self.assertEqual((broken.returncode, broken.stdout), (0, f'broken: "{self.name}"\n'))
        result = self.end_of(job)
        self.assertEqual(result.returncode, LOST)
        self.assert_one_line(result, f'lost the lock "{self.name}"', "ending the command", "host db3 'hangs'")
        self.assertFalse(is_alive(pid))
        self.rowlock("break", self.name, "--reason", "again", expect=1)
        self.assertEqual(self.past.sql(f"SELECT reason FROM [{self.schema}].[break]"), "host db3 'hangs'")

    def test_an_applock_is_not_broken_but_killed(self):
        self.use("sqlserver+applock")
        owner = f"holder {self.schema}"
        job = self.start_job("--owner", owner)
        pid = self.number_in("started")
        self.assert_one_line(self.rowlock("break", self.name, "--reason", "x", expect=USAGE), "KILL",
                             "sys.dm_tran_locks")
        self.assertTrue(is_alive(pid))
        self.kill(owner)
        result = self.end_of(job)
        self.assertEqual(result.returncode, LOST)
        self.assert_one_line(result, f'lost the lock "{self.name}"', "ending the command")
        self.assertFalse(is_alive(pid))
        self.rowlock("run", "--wait", "20s", self.name, "--", "true")

    def test_control_a_lease_outlives_its_sessions(self):
        self.rowlock("migrate")
        owner = f"holder {self.schema}"
        job = self.start_job("--ttl", "60s", "--owner", owner, status=3)
        self.kill(owner)
        self.rowlock("run", "--wait", "50ms", self.name, "--", "true", expect=BUSY)
        self.open_gate("gate")
        self.assertEqual(self.end_of(job).returncode, 3)

    def test_purge(self):
        for scheme, _, _ in self.each():
            self.rowlock("run", self.name, "--", "true")
            if scheme == "sqlserver+lease":
                self.assertEqual(self.rowlock("purge", "--idle", "1h").stdout, "0 names forgotten\n")
                purged = self.rowlock("purge", "--idle", "0s").stdout
                self.assertEqual(purged, "0 names forgotten\n" if self.was_repeated else "1 name forgotten\n")
                self.assertEqual(self.past.sql(f"SELECT COUNT(*) FROM [{self.schema}].lock"), "0")
            else:
                self.assert_one_line(self.rowlock("purge", "--idle", "0s", expect=USAGE), "applocks")


if __name__ == "__main__":
    main()
