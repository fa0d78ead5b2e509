"""status, break, purge, migrate, doctor, and what --help and --version say."""
import datetime
import json
import os
import pathlib
import pwd
import re
import signal
import subprocess

import harness
from harness import CommandTest, Terminal, main, wait_until

UNUSUAL_NAMES = ["it's \"quoted\"", "two words", "🚀 launch 👩‍🚀", "semi;colon $(touch ran) `x`", "%s%n", "' OR 1=1 --",
                 "Zürich 東京", "_", "x" * 255]


class Status(CommandTest):
    def test_nothing(self):
        self.assertEqual(self.rowlock("status").stdout, "no lock is held or waited for\n")
        self.assertEqual(json.loads(self.rowlock("status", "--json").stdout), {"locks": []})

    def hold_and_wait(self):
        holder = self.start("run", "--ttl", "1h", "--owner", "holder", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        waiter = self.start("run", "--owner", "waiter", "nightly", "--", "true")
        wait_until(lambda: self.waiters("nightly"), "another one waits")
        return holder, waiter

    def test_json(self):
        before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
        self.hold_and_wait()
        self.start("run", "--permits", "3", "licenses", "--", *self.waiting_job("gate2", "started2"))
        self.text_of("started2")
        licenses, nightly = self.status()
        self.assertEqual(licenses["name"], "licenses")
        self.assertEqual(licenses["holders"][0]["mode"], "permit")
        self.assertEqual(list(nightly), ["name", "holders", "waiters"])
        self.assertEqual(nightly["name"], "nightly")
        holder, = nightly["holders"]
        self.assertEqual(list(holder), ["mode", "owner", "token", "since", "expires_in_ms"])
        self.assertEqual((holder["mode"], holder["owner"]), ("exclusive", "holder"))
        self.assertIsInstance(holder["token"], int)
        self.assertTrue(0 < holder["expires_in_ms"] <= 3_600_000)
        waiter, = nightly["waiters"]
        self.assertEqual(list(waiter), ["mode", "owner", "since"])
        self.assertEqual((waiter["mode"], waiter["owner"]), ("exclusive", "waiter"))
        for since in (holder["since"], waiter["since"]):
            self.assertRegex(since, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            moment = datetime.datetime.fromisoformat(since.replace("Z", "+00:00"))
            self.assertTrue(before <= moment <= datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1))

    def test_table(self):
        self.hold_and_wait()
        lines = self.rowlock("status").stdout.splitlines()
        self.assertEqual(lines[0].split("  ")[0], "NAME   ".strip())
        self.assertEqual(re.split(r"  +", lines[0]),
                         ["NAME", "STATE", "MODE", "OWNER", "TOKEN", "SINCE", "EXPIRES IN", "WAITERS"])
        held = re.split(r"  +", lines[1])
        self.assertEqual(held[:4], ["nightly", "held", "exclusive", "holder"])
        self.assertEqual(held[-1], "1")
        self.assertEqual(re.split(r"  +", lines[2])[:4], ["nightly", "waits", "exclusive", "waiter"])
        self.assertEqual(len(lines), 3)
        # Aligned: every column begins where its heading does.
        for heading, cell in (("STATE", "held"), ("MODE", "exclusive"), ("OWNER", "holder")):
            self.assertEqual(lines[0].index(heading), lines[1].index(cell))

    def test_prefix(self):
        for number, name in enumerate(("a:1", "a:2", "b:1")):
            self.start("run", name, "--", *self.waiting_job(f"gate{number}", f"started{number}"))
            self.text_of(f"started{number}")
        self.assertEqual([lock["name"] for lock in self.status("a:")], ["a:1", "a:2"])
        self.assertEqual([lock["name"] for lock in self.status("1", "--prefix", "b:")], ["b:1"])
        self.assertEqual([lock["name"] for lock in self.status("c")], [])

    def test_unusual_names(self):
        for number, name in enumerate(UNUSUAL_NAMES):
            self.start("run", name, "--", *self.waiting_job(f"gate{number}", f"started{number}"))
            self.text_of(f"started{number}")
        self.assertEqual(sorted(lock["name"] for lock in self.status()), sorted(UNUSUAL_NAMES))
        table = self.rowlock("status").stdout
        for name in UNUSUAL_NAMES:
            self.assertIn("\n" + name + " ", table)
        self.assertFalse(self.path("ran").exists())
        for name in UNUSUAL_NAMES:
            self.rowlock("break", name, "--reason", "it's \"quoted\" 🚀")

    def test_control_characters_are_escaped(self):
        self.start("run", "evil\x1b[2J\nname\u202e", "--", *self.waiting_job())
        self.text_of("started")
        self.start("run", "--owner", "own\x07er", "other", "--", *self.waiting_job("gate2", "started2"))
        self.text_of("started2")
        wait_until(lambda: len(self.status()) == 2, "both are held")
        table = self.rowlock("status").stdout
        self.assertIn("evil\\x1b[2J\\nname\\u{202e}", table)
        self.assertIn("own\\x07er", table)
        self.assertEqual(len(table.splitlines()), 3)
        result = self.rowlock("run", "--no-wait", "evil\x1b[2J\nname\u202e", "--", "true", expect=harness.BUSY)
        self.assert_one_line(result, "evil\\x1b[2J\\nname")

    def test_watch(self):
        self.start("run", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        terminal = Terminal(self)
        terminal.line('"$ROWLOCK" status --watch')
        terminal.expect("nightly")
        terminal.expect("\x1b\\[H\x1b\\[2J")  # drawn anew
        terminal.expect("nightly")
        self.open_gate("gate")
        terminal.expect("no lock is held or waited for")
        terminal.send("\x03")
        terminal.expect(re.escape(terminal.PROMPT))
        self.assertEqual(terminal.command("echo status $?"), "status 0\n")

    def test_watch_without_a_terminal(self):
        watch = self.start("status", "--watch")
        wait_until(lambda: watch.out.read_text().count("no lock") >= 2, "it is shown twice")
        watch.send_signal(signal.SIGINT)
        result = self.end_of(watch)
        self.assertEqual(result.returncode, 0)
        self.assertNotIn("\x1b", result.stdout)

    def test_a_full_disk_is_no_success(self):
        if not pathlib.Path("/dev/full").exists():
            self.skipTest("there is no /dev/full")
        with open("/dev/full", "wb") as full:
            result = subprocess.run([harness.ROWLOCK, "status"], env=self.env, stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(result.returncode, 71)
        self.assert_one_line(result, "standard output")


class Break(CommandTest):
    def test_nobody_holds_it(self):
        self.assert_one_line(self.rowlock("break", "nightly", "--reason", "test", expect=1), 'nobody held "nightly"')

    def test_a_reason_is_required(self):
        self.assert_one_line(self.rowlock("break", "nightly", expect=harness.USAGE), "--reason")
        self.assert_one_line(self.rowlock("break", "nightly", "--reason", "", expect=harness.USAGE), "--reason")

    def test_a_name_with_a_dash(self):
        self.assert_one_line(self.rowlock("break", "--reason", "test", "--", "-nightly", expect=1), '"-nightly"')

    def test_with_a_prefix(self):
        job = self.start("--prefix", "billing:", "run", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        self.rowlock("break", "nightly", "--reason", "test", expect=1)
        self.rowlock("--prefix", "billing:", "break", "nightly", "--reason", "test")
        self.assertEqual(self.end_of(job).returncode, harness.LOST)

    def test_the_holder_is_told_by_whom(self):
        for number, (options, by) in enumerate((([], pwd.getpwuid(os.geteuid()).pw_name + "@"),
                                                (["--owner", "the night shift"], "the night shift"))):
            job = self.start("run", "--ttl", "1s", "nightly", "--", *self.waiting_job(f"gate{number}", f"started{number}"))
            self.text_of(f"started{number}")
            self.rowlock("break", "nightly", "--reason", "test", *options)
            self.assert_one_line(self.end_of(job), f"broken by {by}")

    def test_the_next_one_gets_it_with_a_larger_token(self):
        job = self.start("run", "nightly", "--", "sh", "-c", "echo $ROWLOCK_TOKEN > first; exec sleep 600")
        self.number_in("first")
        self.rowlock("break", "nightly", "--reason", "test")
        self.rowlock("run", "nightly", "--", "sh", "-c", "echo $ROWLOCK_TOKEN > second")
        self.assertGreater(self.number_in("second"), self.number_in("first"))
        self.end_of(job)


class Purge(CommandTest):
    def test_idle_names_go_and_their_tokens_grow(self):
        self.rowlock("run", "old", "--", "sh", "-c", "echo $ROWLOCK_TOKEN > first")
        self.start("run", "held", "--", *self.waiting_job())
        self.text_of("started")
        self.assertEqual(self.rowlock("purge", "--idle", "1h").stdout, "0 names forgotten\n")
        self.assertEqual(self.rowlock("purge", "--idle", "0s").stdout, "1 name forgotten\n")
        self.assertEqual([lock["name"] for lock in self.status()], ["held"])
        self.rowlock("run", "old", "--", "sh", "-c", "echo $ROWLOCK_TOKEN > second")
        self.assertGreater(self.number_in("second"), self.number_in("first"))

    def test_usage(self):
        self.assert_one_line(self.rowlock("purge", expect=harness.USAGE), "--idle")
        self.assert_one_line(self.rowlock("purge", "--idle", "30", expect=harness.USAGE), "30s")


class Migrate(CommandTest):
    def setUp(self):
        super().setUp()
        self.db = ("--db", f"sqlite:{self.path('app.db')}")

    def test_plan_check_and_doing_it(self):
        steps = self.rowlock(*self.db, "migrate", "--plan").stdout.split()
        self.assertIn("0001_locks", steps)
        self.assert_one_line(self.rowlock(*self.db, "migrate", "--check", expect=1), "not up to date: 0001_locks")
        self.assertFalse(self.path("app.db").exists())
        self.assertEqual(self.rowlock(*self.db, "migrate").stdout, "".join(f"applied {step}\n" for step in steps))
        self.assertEqual(self.rowlock(*self.db, "migrate", "--plan").stdout, "up to date\n")
        self.assertEqual(self.rowlock(*self.db, "migrate", "--check").stdout, "up to date\n")
        self.assertEqual(self.rowlock(*self.db, "migrate").stdout, "up to date\n")
        self.rowlock(*self.db, "run", "nightly", "--", "true")

    def test_printed_sql_makes_a_usable_database(self):
        import sqlite3
        sql = self.rowlock(*self.db, "migrate", "--print").stdout
        self.assertFalse(self.path("app.db").exists())
        connection = sqlite3.connect(self.path("app.db"))
        connection.executescript(sql)
        connection.close()
        self.rowlock(*self.db, "migrate", "--check")
        self.rowlock(*self.db, "run", "nightly", "--", "true")

    def test_twenty_at_once(self):
        for _ in range(20):
            self.start(*self.db, "migrate")
        shown = [self.end_of(process) for process in self.started]
        self.assertEqual([result.returncode for result in shown], [0] * 20, [result.stderr for result in shown])
        self.assertEqual(sum("applied" in result.stdout for result in shown), 1)

    def test_flags_exclude_each_other(self):
        self.rowlock(*self.db, "migrate", "--plan", "--check", expect=harness.USAGE)
        self.rowlock(*self.db, "migrate", "--plan", "--print", expect=harness.USAGE)


class Doctor(CommandTest):
    def test_a_good_database(self):
        self.rowlock("run", "nightly", "--", "true")
        self.assertIn("good", self.rowlock("doctor").stdout)

    def test_json(self):
        self.rowlock("run", "nightly", "--", "true")
        findings = json.loads(self.rowlock("doctor", "--json").stdout)["findings"]
        self.assertTrue(findings)
        for finding in findings:
            self.assertEqual(list(finding), ["level", "what", "found", "remedy"])
            self.assertIn(finding["level"], ("good", "advice", "problem"))

    def test_a_problem_has_a_remedy_and_a_status(self):
        result = self.rowlock("--db", f"sqlite:{self.path('missing.db')}", "doctor", expect=1)
        self.assertIn("problem", result.stdout)
        self.assertIn("-> ", result.stdout)
        self.assertFalse(self.path("missing.db").exists())

    def test_an_unmigrated_database(self):
        import sqlite3
        sqlite3.connect(self.path("app.db")).execute("CREATE TABLE other (x)").connection.close()
        result = self.rowlock("--db", f"sqlite:{self.path('app.db')}", "doctor", expect=1)
        self.assertIn("migrate", result.stdout)


class Help(CommandTest):
    STATUSES = (0, 1, 64, 69, 70, 71, 74, 75, 126, 127)

    def test_version(self):
        self.assertRegex(self.rowlock("--version").stdout, r"^rowlock \d+\.\d+\.\d+\n$")

    def test_every_exit_status_is_told(self):
        text = self.rowlock("--help").stdout
        for status in self.STATUSES:
            self.assertRegex(text, rf"(?m)^ +{status} ")
        self.assertIn("128+n", text)

    def test_run_tells_its_own(self):
        text = self.rowlock("run", "--help").stdout
        for status in (64, 69, 70, 71, 74, 75, 126, 127, 130):
            self.assertRegex(text, rf"(?m)^ +{status} ")
        self.assertIn("rowlock run [OPTIONS] NAME -- COMMAND", text)
        for option in ("--wait", "--no-wait", "--ttl", "--hold-at-least", "--shared", "--permits", "--grace"):
            self.assertIn(option, text)

    def test_every_command_has_help_with_an_example(self):
        overview = self.rowlock("--help").stdout
        for command in ("run", "migrate", "status", "break", "purge", "doctor"):
            with self.subTest(command=command):
                self.assertRegex(overview, rf"(?m)^ +{command} ")
                self.assertRegex(self.rowlock(command, "--help").stdout, "Examples?:\n")

    def test_help_fits_a_wide_terminal(self):
        for arguments in ([], ["run"], ["migrate"], ["status"], ["break"], ["purge"], ["doctor"]):
            for line in self.rowlock(*arguments, "--help").stdout.splitlines():
                self.assertLessEqual(len(line), 160, line)

    def test_help_needs_no_home(self):
        self.rowlock("--help", env={"HOME": ""})
        self.rowlock("run", "--help", env={"HOME": "", "ROWLOCK_DB": "nonsense"})


if __name__ == "__main__":
    main()
