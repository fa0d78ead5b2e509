"""The command on a real PostgreSQL server: leases and advisory locks, and what is said when something is wrong."""
import hashlib
import json
import pathlib
import re
import subprocess
import time
import unittest

from harness import BUSY, DATABASE, LOST, USAGE, CommandTest, is_alive, main, wait_until
from postgres_server import PostgresServer, is_installed


@unittest.skipUnless(is_installed(), "no PostgreSQL server is installed")
class PostgresTest(CommandTest):
    @classmethod
    def setUpClass(cls):
        cls.server = PostgresServer()
        cls.addClassCleanup(cls.server.remove)

    def setUp(self):
        super().setUp()
        self.database = self.server.new_database()
        self.rest = self.server.rest(self.database)
        self.use("postgresql+lease")

    def use(self, scheme):
        self.env["ROWLOCK_DB"] = f"{scheme}:{self.rest}"

    def psql(self, sql, **more):
        return self.server.psql(self.database, sql, **more)


class PostgresTables(PostgresTest):
    def test_plan_check_print_and_doing_it(self):
        steps = self.rowlock("migrate", "--plan").stdout.split()
        self.assertEqual(steps, ["0001_locks", "0002_waits"])
        self.assert_one_line(self.rowlock("migrate", "--check", expect=1), "not up to date: 0001_locks and later steps are missing")
        self.assertEqual(self.psql("SELECT to_regnamespace('rowlock') IS NULL"), "t")
        self.assertEqual(self.rowlock("migrate").stdout, "".join(f"applied {step}\n" for step in steps))
        self.assertEqual(self.rowlock("migrate", "--plan").stdout, "up to date\n")
        self.rowlock("migrate", "--check")
        self.rowlock("run", "nightly", "--", "true")

    def test_printed_sql_makes_a_usable_database(self):
        for schema in ("rowlock", "Jobs_2"):
            with self.subTest(schema=schema):
                self.psql(self.rowlock("--schema", schema, "migrate", "--print").stdout)
                self.rowlock("--schema", schema, "migrate", "--check")
                self.rowlock("run", "nightly", "--", "true", env={"ROWLOCK_SCHEMA": schema})
                self.assertEqual(self.psql(f'SELECT name FROM "{schema}".lock'), "nightly")

    def test_a_bad_schema_name(self):
        for name in ("a.b", "9a", "x" * 64):
            self.assert_one_line(self.rowlock("--schema", name, "migrate", expect=USAGE), "options::schema")
        self.assert_one_line(self.rowlock("status", env={"ROWLOCK_SCHEMA": "a b"}, expect=USAGE), "options::schema")

    def test_twenty_at_once(self):
        for _ in range(20):
            self.start("migrate")
        shown = [self.end_of(process) for process in self.started]
        self.assertEqual([result.returncode for result in shown], [0] * 20, [result.stderr for result in shown])
        self.assertEqual(sum("applied" in result.stdout for result in shown), 1)

    def test_doctor(self):
        self.assertIn("rowlock migrate", self.rowlock("doctor", expect=1).stdout)
        self.rowlock("migrate")
        findings = json.loads(self.rowlock("doctor", "--json", expect=1).stdout)["findings"]
        problems = [finding for finding in findings if finding["level"] == "problem"]
        self.assertEqual([finding["what"] for finding in problems], ["durability"])  # the test server's fsync is off
        self.use("postgresql+advisory")
        self.rowlock("doctor")


class PostgresErrors(PostgresTest):
    def fails(self, url, *parts, expect=DATABASE):
        began = time.monotonic()
        result = self.rowlock("--db", url, "run", "nightly", "--", "touch", "ran", expect=expect)
        self.assertLess(time.monotonic() - began, 20)
        self.assert_one_line(result, *parts)
        self.assertFalse(self.path("ran").exists())
        return result

    def each(self):
        for scheme in ("postgresql+lease", "postgresql+advisory"):
            with self.subTest(scheme=scheme):
                yield scheme

    def test_a_url_that_makes_no_sense(self):
        for scheme in self.each():
            self.fails(f"{scheme}:no such word", "libpq cannot read", expect=USAGE)

    def test_a_server_that_is_down(self):
        for scheme in self.each():
            self.fails(f"{scheme}://127.0.0.1:1/x", "cannot connect", "Is the server running")

    def test_a_database_that_is_missing(self):
        for scheme in self.each():
            self.fails(f"{scheme}:{self.server.rest('nowhere')}", '"nowhere" does not exist')

    def test_a_role_that_is_missing(self):
        for scheme in self.each():
            self.fails(f"{scheme}:{self.server.rest(self.database, user='nobody')}", 'role "nobody" does not exist')

    def test_a_wrong_password(self):
        self.server.ask_for_password("guarded", "open sesame")
        for scheme in self.each():
            result = self.fails(f"{scheme}:{self.server.rest(self.database, user='guarded:xyzzy')}",
                                "password authentication failed")
            self.assertNotIn("xyzzy", result.stderr)
            self.assertEqual(self.psql("SELECT 1"), "1")
        self.rowlock("--db", f"postgresql+advisory:{self.server.rest(self.database, user='guarded:open%20sesame')}",
                     "run", "nightly", "--", "true")

    def test_not_migrated(self):
        for arguments in (["run", "nightly", "--", "touch", "ran"], ["status"], ["break", "nightly", "--reason", "x"],
                          ["purge", "--idle", "1d"]):
            with self.subTest(arguments=arguments):
                self.assert_one_line(self.rowlock(*arguments, expect=DATABASE), "rowlock migrate")
        self.assertEqual(self.psql("SELECT to_regnamespace('rowlock') IS NULL"), "t")

    def test_no_rights(self):
        self.rowlock("migrate")
        self.psql("CREATE ROLE powerless LOGIN")
        self.fails(f"postgresql+lease:{self.server.rest(self.database, user='powerless')}",
                   "GRANT USAGE ON SCHEMA rowlock")
        self.psql("CREATE DATABASE locked_up")
        result = self.rowlock("--db", f"postgresql+lease:{self.server.rest('locked_up', user='powerless')}", "migrate",
                              expect=DATABASE)
        self.assert_one_line(result, "GRANT CREATE ON DATABASE")


class PostgresRun(PostgresTest):
    """Both kinds of locks; what differs is said in the tests."""

    def each(self):
        self.rowlock("migrate")
        for number, scheme in enumerate(("postgresql+lease", "postgresql+advisory")):
            with self.subTest(scheme=scheme):
                self.use(scheme)
                yield scheme, f"gate{number}", f"started{number}"

    def test_one_runs_the_other_waits_or_is_told_that_it_is_busy(self):
        self.server.new_errors()
        for scheme, gate, started in self.each():
            first = self.start("run", "--owner", "first", "nightly", "--", *self.waiting_job(gate, started, status=3))
            self.text_of(started)
            self.assert_one_line(self.rowlock("run", "--no-wait", "nightly", "--", "true", expect=BUSY), "first")
            self.rowlock("run", "--wait", "50ms", "nightly", "--", "true", expect=BUSY)
            second = self.start("run", "--owner", "second", "nightly", "--", "sh", "-c", f"echo ran > ran.{scheme}")
            wait_until(lambda: [w["owner"] for l in self.status("nightly") for w in l["waiters"]] == ["second"],
                       "the second one is seen waiting, from elsewhere")
            lock, = self.status("nightly")
            holder, = lock["holders"]
            self.assertEqual((holder["mode"], holder["owner"]), ("exclusive", "first"))
            self.assertEqual(holder["token"] is None, scheme == "postgresql+advisory")
            self.assertFalse(self.path(f"ran.{scheme}").exists())
            self.open_gate(gate)
            self.assertEqual(self.end_of(first).returncode, 3)
            self.assertEqual(self.end_of(second).returncode, 0)
            self.assertEqual(self.text_of(f"ran.{scheme}"), "ran\n")
            self.assertEqual(self.status(), [])
        self.assertEqual(self.server.new_errors(), [], "nothing of that is an error to the server")

    def test_control_an_error_is_seen_in_the_log(self):
        self.server.new_errors()
        with self.assertRaises(subprocess.CalledProcessError):
            self.psql("SELECT 1/0")
        self.assertEqual(len(self.server.new_errors()), 1)

    def test_watch(self):
        for _, gate, started in self.each():
            job = self.start("run", "nightly", "--", *self.waiting_job(gate, started))
            self.text_of(started)
            watch = self.start("status", "nightly", "--watch")
            wait_until(lambda: "nightly" in watch.out.read_text(), "it is shown")
            self.open_gate(gate)
            wait_until(lambda: "no lock is held" in watch.out.read_text(), "its end is shown")
            watch.terminate()
            self.assertEqual(self.end_of(watch).returncode, 0)
            self.assertEqual(self.end_of(job).returncode, 0)

    def test_broken_by_an_operator(self):
        for scheme, gate, started in self.each():
            job = self.start("run", "nightly", "--", *self.waiting_job(gate, started))
            pid = self.number_in(started)
            self.assertEqual(self.rowlock("break", "nightly", "--reason", "host db3 'hangs'").stdout,
                             'broken: "nightly"\n')
            result = self.end_of(job)
            self.assertEqual(result.returncode, LOST)
            self.assert_one_line(result, 'lost the lock "nightly"', "ending the command",
                                 "host db3 'hangs'" if scheme == "postgresql+lease" else "administrator command")
            self.assertFalse(is_alive(pid))
            self.rowlock("break", "nightly", "--reason", "again", expect=1)
        self.assertEqual(self.psql("SELECT count(*) FROM rowlock.break WHERE reason = 'host db3 ''hangs'''"), "2")

    def test_breaking_an_advisory_lock_without_tables(self):
        self.use("postgresql+advisory")
        self.start("run", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        result = self.rowlock("break", "nightly", "--reason", "x", expect=DATABASE)
        self.assert_one_line(result, "rowlock migrate", "pg_terminate_backend(")
        self.psql(re.search(r"SELECT pg_terminate_backend.*", result.stderr)[0])  # as it is told
        self.assertEqual(self.end_of(self.started[0]).returncode, LOST)

    def test_a_server_that_is_killed_ends_the_job(self):
        for scheme, gate, started in self.each():
            job = self.start("run", "--ttl", "2s", "--grace", "10s", "nightly", "--", *self.waiting_job(gate, started))
            pid = self.number_in(started)
            self.server.stop("immediate")
            stopped = time.monotonic()
            result = self.end_of(job)
            took = time.monotonic() - stopped
            self.assertEqual(result.returncode, LOST)
            self.assertFalse(is_alive(pid))
            self.assertIn('lost the lock "nightly"', result.stderr)
            if scheme == "postgresql+advisory":
                self.assertIn("immediate shutdown", result.stderr)
                self.assertLess(took, 2, "the connection tells at once")
            else:
                self.assertIn("lease", result.stderr)
                self.assertLess(took, 2 + 5, "when the lease would end")
            self.server.restart()
            self.rowlock("run", "--wait", "20s", "nightly", "--", "true")

    def test_control_a_server_that_is_only_restarted_leaves_a_lease_alone(self):
        self.rowlock("migrate")
        job = self.start("run", "--ttl", "20s", "nightly", "--", *self.waiting_job(status=3))
        self.text_of("started")
        self.server.restart()
        self.rowlock("run", "--wait", "50ms", "nightly", "--", "true", expect=BUSY)
        self.open_gate("gate")
        self.assertEqual(self.end_of(job).returncode, 3)


class PostgresDocuments(PostgresTest):
    """What the documents tell others to run does what they say."""

    @staticmethod
    def blocks(document, language="sql"):
        text = (pathlib.Path(__file__).resolve().parents[2] / "docs" / document).read_text(encoding="utf-8")
        return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)

    def test_the_same_advisory_lock_in_sql(self):
        self.use("postgresql+advisory")
        function, lock_and_unlock, _, who = self.blocks("interoperating.md")
        self.psql(function)
        job = self.start("run", "--owner", "me", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        self.assertEqual(self.psql(lock_and_unlock), "f\nf")
        self.assertRegex(self.psql(who), r"\A\d+\|me\|ExclusiveLock\|t\|\Z")
        self.open_gate("gate")
        self.end_of(job)
        self.assertEqual(self.psql(lock_and_unlock), "t\nt")
        # And the other way round, while a session of psql lives.
        try_lock, _ = lock_and_unlock.splitlines()
        psql = subprocess.Popen(["psql", "-X", "-q", "-A", "-t", f"postgresql:{self.rest}"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
        self.addCleanup(psql.wait)
        psql.stdin.write(try_lock + "\n")
        psql.stdin.flush()
        self.assertEqual(psql.stdout.readline(), "t\n")
        self.assert_one_line(self.rowlock("run", "--no-wait", "nightly", "--", "true", expect=BUSY), "psql")
        psql.stdin.close()
        self.rowlock("run", "--wait", "20s", "nightly", "--", "true")
        psql.stdout.close()

    def test_the_key_in_python(self):
        code, = self.blocks("interoperating.md", "python")
        names = {"hashlib": hashlib}
        exec(code, names)
        self.psql(self.blocks("interoperating.md")[0])
        for name in ("nightly", "Zürich 東京", "x" * 255, "7"):
            self.assertEqual(self.psql(f"SELECT lock_key('{name}')"), str(names["lock_key"](name)))

    def test_a_fenced_write_in_sql(self):
        self.rowlock("migrate")
        self.psql("CREATE TABLE stock (item int, amount int); INSERT INTO stock VALUES (42, 10)")
        self.path("write.sql").write_text(self.blocks("interoperating.md")[2])
        self.path("write.sh").write_text(
            f'psql -X -q -v ON_ERROR_STOP=1 "postgresql:{self.rest}" -v name="$ROWLOCK_NAME" -v owner="$ROWLOCK_OWNER" '
            '-v token="$ROWLOCK_TOKEN" -f write.sql\n')
        amount = lambda: int(self.psql("SELECT amount FROM stock"))
        self.rowlock("run", "it's", "--", "sh", "-e", "-c", "env | grep ^ROWLOCK_ > env; . ./write.sh")
        self.assertEqual(amount(), 9)
        # The same a moment later, when the lock is not held any more.
        env = dict(line.split("=", 1) for line in self.lines_of("env"))
        subprocess.run(["sh", "-e", "write.sh"], cwd=self.directory, env=self.env | env, check=True)
        self.assertEqual(amount(), 9)
        # And when somebody else holds it.
        self.start("run", "it's", "--", *self.waiting_job())
        self.text_of("started")
        subprocess.run(["sh", "-e", "write.sh"], cwd=self.directory, env=self.env | env, check=True)
        self.assertEqual(amount(), 9)

    def test_what_operating_tells(self):
        self.rowlock("migrate")
        self.psql("CREATE ROLE app LOGIN; CREATE ROLE operator LOGIN")
        grants, watch = self.blocks("operating.md")
        self.psql(grants + "GRANT app TO operator")
        self.rowlock("--db", f"postgresql+lease:{self.server.rest(self.database, user='app')}", "run", "nightly", "--",
                     "true")
        self.psql(watch)
        for scheme in ("postgresql+lease", "postgresql+advisory"):
            with self.subTest(scheme=scheme):
                as_app, as_operator = (f"{scheme}:{self.server.rest(self.database, user=role)}"
                                       for role in ("app", "operator"))
                job = self.start("--db", as_app, "run", "nightly", "--",
                                 *self.waiting_job(f"gate.{scheme}", f"started.{scheme}"))
                self.text_of(f"started.{scheme}")
                self.rowlock("--db", as_app, "break", "nightly", "--reason", "mine", expect=DATABASE)
                self.rowlock("--db", as_operator, "break", "nightly", "--reason", "test")
                self.assertEqual(self.end_of(job).returncode, LOST)
                self.rowlock("--db", as_operator, "purge", "--idle", "0s",
                             expect=0 if scheme == "postgresql+lease" else USAGE)


if __name__ == "__main__":
    main()
