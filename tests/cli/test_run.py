"""`rowlock run`: exit statuses, waiting, the job's environment, how long the lock is held."""
import os
import signal
import stat
import subprocess
import time

import harness
from harness import BUSY, KEPT, OUTLASTED, USAGE, CommandTest, is_alive, main, wait_until


class ExitStatus(CommandTest):
    def test_the_commands_own(self):
        for status in (0, 1, 7, 64, 69, 74, 75, 126, 127, 128, 200, 255):
            with self.subTest(status=status):
                result = self.rowlock("run", "nightly", "--", "sh", "-c", f"exit {status}", expect=status)
                self.assertEqual(result.stderr, "")

    def test_128_and_the_number_of_the_signal_that_killed_it(self):
        for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGSEGV, signal.SIGUSR1):
            with self.subTest(signal=number):
                self.rowlock("run", "nightly", "--", "sh", "-c", f"ulimit -c 0; kill -{int(number)} $$",
                             expect=128 + number)

    def test_command_not_found(self):
        result = self.rowlock("run", "nightly", "--", "/no/such/command", expect=127)
        self.assert_one_line(result, "cannot run /no/such/command", "No such file or directory")
        self.rowlock("run", "nightly", "--", "no-such-command-anywhere", expect=127)

    def test_command_that_cannot_be_executed(self):
        self.path("data").write_text("no program")
        result = self.rowlock("run", "nightly", "--", self.path("data"), expect=126)
        self.assert_one_line(result, "cannot run", "Permission denied")
        self.rowlock("run", "nightly", "--", self.directory, expect=126)

    def test_a_command_that_did_not_run_is_not_held_for(self):
        began = time.monotonic()
        self.rowlock("run", "--hold-at-least", "1h", "nightly", "--", "/no/such/command", expect=127)
        self.assertLess(time.monotonic() - began, 60)

    def test_busy_without_waiting(self):
        holder = self.start("run", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        result = self.rowlock("run", "--no-wait", "nightly", "--", "touch", "ran", expect=BUSY)
        self.assert_one_line(result, 'busy: "nightly"', f":{holder.pid}:rowlock since ")
        self.assertFalse(self.path("ran").exists())
        self.open_gate("gate")
        self.assertEqual(self.end_of(holder).returncode, 0)

    def test_busy_after_waiting(self):
        holder = self.start("run", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        began = time.monotonic()
        result = self.rowlock("run", "--wait", "300ms", "nightly", "--", "touch", "ran", expect=BUSY)
        self.assertGreaterEqual(time.monotonic() - began, 0.3)
        self.assert_one_line(result, "busy")
        self.rowlock("run", "--wait", "0s", "nightly", "--", "touch", "ran", expect=BUSY)
        self.assertFalse(self.path("ran").exists())
        self.assertEqual(self.waiters("nightly"), [])
        self.open_gate("gate")
        self.end_of(holder)

    def test_usage(self):
        for arguments, said in (
            ((), "subcommand"),
            (("fly",), "fly"),
            (("run",), "NAME"),
            (("run", "nightly"), "rowlock run nightly -- COMMAND"),
            (("run", "nightly", "true"), ""),
            (("run", "nightly", "--"), "no command behind the two dashes"),
            (("run", "nightly", "--", ""), "no command behind the two dashes"),
            (("run", "--wait", "5", "nightly", "--", "true"), "5s"),
            (("run", "--wait", "soon", "nightly", "--", "true"), "1m30s"),
            (("run", "--wait", "1s", "--no-wait", "nightly", "--", "true"), "--wait"),
            (("run", "--ttl", "1ms", "nightly", "--", "true"), "50ms"),
            (("run", "--ttl", "25d", "nightly", "--", "true"), "24d"),
            (("run", "--permits", "0", "nightly", "--", "true"), "permits"),
            (("run", "--permits", "-3", "nightly", "--", "true"), "permits"),
            (("run", "--permits", "2147483648", "nightly", "--", "true"), "permits"),
            (("run", "--permits", "2", "--shared", "nightly", "--", "true"), "--shared"),
            (("run", "--unknown", "nightly", "--", "true"), "--unknown"),
            (("run", "", "--", "true"), "empty"),
            (("run", "x" * 256, "--", "true"), "255"),
            (("run", b"\xff\xfe".decode(errors="surrogateescape"), "--", "true"), "UTF-8"),
            (("--db", "", "status"), "--db"),
            (("status", "--json", "--watch"), "--json"),
        ):
            with self.subTest(arguments=arguments):
                process = subprocess.run([harness.ROWLOCK, *arguments], env=self.env, capture_output=True,
                                         cwd=self.directory, timeout=60)
                process.stderr = process.stderr.decode()
                self.assertEqual(process.returncode, USAGE, process.stderr)
                self.assert_one_line(process, said)
                self.assertEqual(process.stdout, b"")

    def test_options_stand_before_or_behind_the_subcommand(self):
        url = f"sqlite:{self.path('own.db')}"
        self.rowlock("--db", url, "migrate")
        self.rowlock("--db", url, "run", "a", "--", "true")
        self.rowlock("run", "--db", url, "a", "--", "true")
        self.rowlock("run", "a", f"--db={url}", "--", "true")

    def test_nothing_behind_the_dashes_is_an_option(self):
        result = self.rowlock("run", "nightly", "--", "printf", "%s\n", "--version", "--", "--db", "-h", "{}", "[a]", "status")
        self.assertEqual(result.stdout, "--version\n--\n--db\n-h\n{}\n[a]\nstatus\n")


class Exclusion(CommandTest):
    def test_two_of_one_name_never_run_together(self):
        # `mkdir` is the witness: it fails if the other one is inside.
        job = ["sh", "-c", "mkdir inside && sleep 0.02 && rmdir inside"]
        processes = [self.start("run", "nightly", "--", *job) for _ in range(6)]
        for process in processes:
            self.assertEqual(self.end_of(process).returncode, 0, process.err.read_text())

    def test_control_without_the_lock_they_do(self):
        self.gate("gate")
        job = ["sh", "-c", "mkdir inside; read line < gate; rmdir inside"]
        first = self.start("run", "one", "--", *job)
        wait_until(self.path("inside").exists, "the first is inside")
        self.rowlock("run", "another", "--", "mkdir", "inside", expect=1)
        self.open_gate("gate")
        self.end_of(first)

    def test_shared(self):
        readers = [self.start("run", "--shared", "catalog", "--", *self.waiting_job(f"gate{i}", f"started{i}"))
                   for i in range(2)]
        for i in range(2):
            self.text_of(f"started{i}")
        self.assertEqual([h["mode"] for h in self.holders("catalog")], ["shared", "shared"])
        self.rowlock("run", "--no-wait", "catalog", "--", "true", expect=BUSY)
        for i, reader in enumerate(readers):
            self.open_gate(f"gate{i}")
            self.assertEqual(self.end_of(reader).returncode, 0)
        self.rowlock("run", "--no-wait", "catalog", "--", "true")

    def test_permits(self):
        holders = [self.start("run", "--permits", "2", "licenses", "--", *self.waiting_job(f"gate{i}", f"started{i}"))
                   for i in range(2)]
        for i in range(2):
            self.text_of(f"started{i}")
        self.rowlock("run", "--permits", "2", "--no-wait", "licenses", "--", "true", expect=BUSY)
        self.open_gate("gate0")
        self.assertEqual(self.end_of(holders[0]).returncode, 0)
        self.rowlock("run", "--permits", "2", "--no-wait", "licenses", "--", "true")
        self.open_gate("gate1")
        self.assertEqual(self.end_of(holders[1]).returncode, 0)

    def test_waiting_without_limit_by_default(self):
        holder = self.start("run", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        second = self.start("run", "nightly", "--", "touch", "ran")
        wait_until(lambda: self.waiters("nightly"), "the second waits")
        self.assertFalse(self.path("ran").exists())
        self.open_gate("gate")
        self.assertEqual(self.end_of(holder).returncode, 0)
        self.assertEqual(self.end_of(second).returncode, 0)
        self.assertTrue(self.path("ran").exists())

    def test_prefixes_keep_names_apart(self):
        holder = self.start("--prefix", "a:", "run", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        self.rowlock("--prefix", "b:", "run", "--no-wait", "nightly", "--", "true")
        self.rowlock("run", "--no-wait", "a:nightly", "--", "true", expect=BUSY)
        self.assertEqual([lock["name"] for lock in self.status()], ["a:nightly"])
        self.open_gate("gate")
        self.end_of(holder)

    def test_many_hosts_one_crontab(self):
        # Whoever comes when the first job is over already finds that the lock is still held.
        job = ["sh", "-c", "echo ran >> log"]
        for _ in range(3):
            self.start("run", "--no-wait", "--hold-at-least", "1h", "nightly", "--", *job)
        wait_until(lambda: sum(p.poll() == BUSY for p in self.started) == 2, "two of three found it busy")
        self.assertEqual(self.text_of("log"), "ran\n")
        holder = next(p for p in self.started if p.poll() is None)
        holder.terminate()  # ends the wait early
        self.assertEqual(self.end_of(holder).returncode, 0)


class HoldAtLeast(CommandTest):
    def test_the_lock_outlives_a_short_command(self):
        began = time.monotonic()
        self.rowlock("run", "--hold-at-least", "700ms", "nightly", "--", "sh", "-c", "exit 3", expect=3)
        self.assertGreaterEqual(time.monotonic() - began, 0.7)

    def test_it_is_held_and_renewed_meanwhile(self):
        holder = self.start("run", "--ttl", f"{KEPT}s", "--hold-at-least", "1h", "nightly", "--", "touch", "ran")
        wait_until(self.path("ran").exists, "the command ran")
        wait_until(lambda: not [p for p in self.marked() if self.comm(p) == "touch"], "the command has ended")
        self.rowlock("run", "--wait", f"{OUTLASTED}s", "nightly", "--", "true", expect=BUSY)
        holder.send_signal(signal.SIGINT)
        self.assertEqual(self.end_of(holder).returncode, 0)
        self.rowlock("run", "--no-wait", "nightly", "--", "true")

    def test_whoever_ends_the_command_ends_the_hold(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                started = f"started{int(number)}"
                job = self.start("run", "--hold-at-least", "1h", "nightly", "--", *self.waiting_job(started=started))
                self.text_of(started)
                job.send_signal(number)
                self.assertEqual(self.end_of(job).returncode, 128 + number)

    def test_control_without_it_the_lock_is_free_at_once(self):
        self.rowlock("run", "nightly", "--", "true")
        self.rowlock("run", "--no-wait", "nightly", "--", "true")

    @staticmethod
    def comm(pid):
        try:
            with open(f"/proc/{pid}/comm") as file:
                return file.read().strip()
        except OSError:
            return ""


class Environment(CommandTest):
    def job_environment(self, *arguments, **more):
        out = self.rowlock(*arguments, "--", "env", **more).stdout
        return dict(line.split("=", 1) for line in out.splitlines() if "=" in line)

    def test_name_token_and_owner(self):
        first = self.job_environment("run", "nightly", "--owner", "me@here")
        self.assertEqual(first["ROWLOCK_NAME"], "nightly")
        self.assertEqual(first["ROWLOCK_OWNER"], "me@here")
        second = self.job_environment("run", "nightly", env={"ROWLOCK_TOKEN": "999999999999999999"})
        self.assertGreater(int(second["ROWLOCK_TOKEN"]), int(first["ROWLOCK_TOKEN"]))
        self.assertNotEqual(second["ROWLOCK_TOKEN"], "999999999999999999")
        self.assertRegex(second["ROWLOCK_OWNER"], r"^.+:\d+:rowlock$")

    def test_the_token_is_what_status_shows(self):
        job = self.start("run", "nightly", "--", "sh", "-c", "echo $ROWLOCK_TOKEN > token; read line < gate")
        self.gate("gate")
        token = self.number_in("token")
        self.assertEqual(self.holders("nightly")[0]["token"], token)
        self.open_gate("gate")
        self.end_of(job)

    def test_standard_streams_and_descriptors_are_the_callers(self):
        read, write = os.pipe()
        process = subprocess.Popen([harness.ROWLOCK, "run", "nightly", "--", "sh", "-c",
                                    f"cat; echo error >&2; echo extra >&{write}; ls /proc/self/fd"],
                                   env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   pass_fds=[write], text=True, start_new_session=True)
        self.started.append(process)
        out, err = process.communicate("input\n", timeout=60)
        os.close(write)
        with os.fdopen(read) as extra:
            self.assertEqual(extra.read(), "extra\n")
        self.assertEqual(err, "error\n")
        lines = out.split()
        self.assertEqual(lines[0], "input")
        # 0, 1, 2, the pipe, and the one with which `ls` reads the directory: nothing of rowlock's own.
        self.assertEqual(len(lines[1:]), 5, lines)
        self.assertIn(str(write), lines)

    def test_signal_mask_and_dispositions_are_the_inherited_ones(self):
        def set_up():
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGWINCH})

        plain = subprocess.run(["cat", "/proc/self/status"], env=self.env, preexec_fn=set_up, capture_output=True, text=True)
        under = subprocess.run([harness.ROWLOCK, "run", "nightly", "--", "cat", "/proc/self/status"], env=self.env,
                               preexec_fn=set_up, capture_output=True, text=True)

        def relevant(text):
            return [line for line in text.splitlines() if line.startswith(("SigBlk", "SigIgn", "SigCgt"))]

        self.assertEqual(under.returncode, 0, under.stderr)
        self.assertEqual(relevant(under.stdout), relevant(plain.stdout))

    def test_default_database_is_private(self):
        self.rowlock("run", "nightly", "--", "true")
        directory = self.path("home/.local/state/rowlock")
        self.assertEqual(stat.S_IMODE(directory.stat().st_mode), 0o700)
        self.assertTrue((directory / "locks.db").exists())


class HeldUntilTheEnd(CommandTest):
    """The lock is released when the last process of the job has ended, never before."""

    BACKGROUND = "(trap '' TERM HUP; read line < gate; rm inside) & echo $! > started; touch inside; exit 5"

    def test_a_background_process_of_the_same_group(self):
        self.held_as_long_as(self.BACKGROUND)

    def test_a_daemon_in_a_session_of_its_own(self):
        self.held_as_long_as("touch inside; setsid sh -c '(echo $$ > started; read line < gate; rm inside) &' ; exit 5")

    def held_as_long_as(self, script):
        self.gate("gate")
        first = self.start("run", "nightly", "--", "sh", "-c", script)
        self.text_of("started")
        second = self.start("run", "nightly", "--", "sh", "-c", "test -e inside && exit 9; exit 0")
        wait_until(lambda: self.waiters("nightly"), "the second waits")
        # Told while it waits, since that may surprise somebody.
        wait_until(lambda: "the lock is held until" in first.err.read_text(), "it says what it waits for")
        self.assertIsNone(first.poll())
        self.assertIsNone(second.poll())
        self.open_gate("gate")
        self.assertEqual(self.end_of(first).returncode, 5)
        self.assertEqual(self.end_of(second).returncode, 0)

    def test_control_the_witness_sees_an_early_release(self):
        self.gate("gate")
        shell = self.start("-c", self.BACKGROUND, program="sh")
        self.end_of(shell)
        self.rowlock("run", "nightly", "--", "sh", "-c", "test -e inside && exit 9; exit 0", expect=9)
        self.open_gate("gate")

    def test_released_at_once_when_all_are_gone(self):
        holder = self.start("run", "nightly", "--", *self.waiting_job(status=4))
        pid = self.number_in("started")
        self.open_gate("gate")
        self.assertEqual(self.end_of(holder).returncode, 4)
        self.assertFalse(is_alive(pid))
        self.assertEqual(self.status(), [])
        self.assert_nothing_left()


if __name__ == "__main__":
    main()
