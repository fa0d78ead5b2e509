"""Which database is used, how the default one comes to be, and what is said about those that cannot be used."""
import os
import pathlib
import subprocess
import unittest

import harness
from harness import DATABASE, USAGE, CommandTest, main


class DefaultDatabase(CommandTest):
    def test_below_the_state_directory(self):
        state = self.path("state")
        self.rowlock("run", "nightly", "--", "true", env={"XDG_STATE_HOME": str(state)})
        self.assertTrue((state / "rowlock/locks.db").exists())
        self.assertFalse(self.path("home").exists())

    def test_below_the_home_directory(self):
        self.rowlock("run", "nightly", "--", "true")
        self.assertTrue(self.path("home/.local/state/rowlock/locks.db").exists())

    def test_a_relative_state_directory_is_ignored(self):
        self.rowlock("run", "nightly", "--", "true", env={"XDG_STATE_HOME": "state"})
        self.assertTrue(self.path("home/.local/state/rowlock/locks.db").exists())
        self.assertFalse(self.path("state").exists())

    def test_neither(self):
        result = self.rowlock("run", "nightly", "--", "true", env={"HOME": ""}, expect=USAGE)
        self.assert_one_line(result, "--db URL", "ROWLOCK_DB", "HOME")

    def test_a_directory_with_unusual_characters(self):
        for name in ("with blank", "per%20cent", "question?mode=memory", "hash#tag", "semi;colon", "quote'\"", "🚀"):
            with self.subTest(name=name):
                state = self.path(name)
                self.rowlock("run", "nightly", "--", "true", env={"XDG_STATE_HOME": str(state)})
                self.assertTrue((state / "rowlock/locks.db").exists())

    def test_every_command_can_be_the_first(self):
        for number, arguments in enumerate((["status"], ["purge", "--idle", "1s"], ["migrate"], ["doctor"])):
            with self.subTest(arguments=arguments):
                self.rowlock(*arguments, env={"XDG_STATE_HOME": str(self.path(f"state{number}"))})

    def test_twenty_at_once_on_a_fresh_account(self):
        for _ in range(20):
            self.start("run", "nightly", "--", "sh", "-c", "echo ran >> log")
        for process in self.started:
            self.assertEqual(self.end_of(process).returncode, 0, process.err.read_text())
        self.assertEqual(self.lines_of("log"), ["ran"] * 20)

    def test_looking_creates_nothing(self):
        self.assertIn("not there yet", self.rowlock("doctor").stdout)
        self.rowlock("migrate", "--plan")
        self.rowlock("migrate", "--check", expect=1)
        self.rowlock("migrate", "--print")
        self.assertFalse(self.path("home").exists())

    @unittest.skipIf(os.geteuid() == 0 and not pathlib.Path("/usr/bin/setpriv").exists(), "root may write everywhere")
    def test_a_home_that_cannot_be_written(self):
        home = self.path("home")
        home.mkdir(mode=0o555)
        self.directory.chmod(0o755)
        harness_command = harness.ROWLOCK
        result = subprocess.run([*self.unprivileged(), harness_command, "run", "nightly", "--", "true"], env=self.env,
                                capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, DATABASE, result.stderr)
        self.assert_one_line(result, "cannot create the directory", "Permission denied", "--db")

    @staticmethod
    def unprivileged():
        return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []


class NamedDatabase(CommandTest):
    def setUp(self):
        super().setUp()
        self.url = f"sqlite:{self.path('app.db')}"

    def test_from_the_environment(self):
        self.rowlock("migrate", env={"ROWLOCK_DB": self.url})
        self.rowlock("run", "nightly", "--", "true", env={"ROWLOCK_DB": self.url})
        self.assertTrue(self.path("app.db").exists())
        self.assertFalse(self.path("home").exists())

    def test_the_option_wins(self):
        self.rowlock("--db", self.url, "migrate", env={"ROWLOCK_DB": "nonsense:"})
        self.rowlock("--db", self.url, "run", "nightly", "--", "true", env={"ROWLOCK_DB": "nonsense:"})

    def test_not_there(self):
        result = self.rowlock("--db", self.url, "run", "nightly", "--", "touch", "ran", expect=DATABASE)
        self.assert_one_line(result, "app.db")
        self.assertFalse(self.path("app.db").exists())
        self.assertFalse(self.path("ran").exists())

    def test_not_migrated(self):
        import sqlite3
        sqlite3.connect(self.path("app.db")).execute("CREATE TABLE other (x)").connection.close()
        before = self.path("app.db").read_bytes()
        for arguments in (["run", "nightly", "--", "touch", "ran"], ["status"], ["break", "nightly", "--reason", "x"],
                          ["purge", "--idle", "1d"]):
            with self.subTest(arguments=arguments):
                result = self.rowlock("--db", self.url, *arguments, expect=DATABASE)
                self.assert_one_line(result, "rowlock migrate")
        self.assertEqual(self.path("app.db").read_bytes(), before)
        self.assertFalse(self.path("ran").exists())

    def test_unknown_kind_of_url(self):
        for url in ("oracle:scott/tiger", "locks.db", ":", "sqlite3:x"):
            with self.subTest(url=url):
                result = self.rowlock("--db", url, "status", expect=USAGE)
                self.assert_one_line(result, url, "sqlite:PATH", "memory:")

    def test_not_a_database(self):
        self.path("app.db").write_text("this is a text, and a long one, so that it cannot be taken for an empty file" * 20)
        result = self.rowlock("--db", self.url, "run", "nightly", "--", "true", expect=DATABASE)
        self.assert_one_line(result, "app.db")

    def test_a_directory(self):
        self.path("app.db").mkdir()
        self.assert_one_line(self.rowlock("--db", self.url, "status", expect=DATABASE), "app.db")

    @unittest.skipIf(os.geteuid() == 0 and not pathlib.Path("/usr/bin/setpriv").exists(), "root may read everything")
    def test_no_permission(self):
        self.rowlock("--db", self.url, "migrate")
        self.path("app.db").chmod(0)
        self.directory.chmod(0o755)
        prefix = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        result = subprocess.run([*prefix, harness.ROWLOCK, "--db", self.url, "run", "nightly", "--", "true"],
                                env=self.env, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, DATABASE, result.stderr)
        self.assert_one_line(result, "app.db")

    def test_memory_holds_nothing_but_works(self):
        self.rowlock("--db", "memory:", "run", "nightly", "--", "true")
        self.assertEqual(self.status(env={"ROWLOCK_DB": "memory:"}), [])
        self.rowlock("--db", "memory:", "migrate", "--check")

    def test_password_of_a_url_is_not_passed_on(self):
        self.rowlock("--db", self.url, "migrate")
        out = self.rowlock("--db", self.url, "run", "nightly", "--", "env").stdout
        self.assertNotIn("ROWLOCK_DB=", out)


if __name__ == "__main__":
    main()
