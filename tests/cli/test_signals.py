"""Signals: passed on to the job while it runs, and the end of a wait before that."""
import os
import re
import signal

import harness
from harness import BUSY, KEPT, OUTLASTED, CommandTest, children_of, main, stat_of, wait_until


class Forwarding(CommandTest):
    FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
                 signal.SIGTERM, signal.SIGWINCH, signal.SIGPWR, signal.SIGRTMIN)

    def test_each_reaches_the_job_once(self):
        job = self.start("run", "nightly", "--", *self.logging_job(*self.FORWARDED))
        self.text_of("started")
        for count, number in enumerate(self.FORWARDED, 1):
            job.send_signal(number)
            wait_until(lambda: len(self.logged()) >= count, f"{number!r} was passed on")
        self.assertEqual(self.logged(), [n.name for n in self.FORWARDED])
        self.assertIsNone(job.poll())
        job.kill()

    def test_they_reach_the_whole_group_of_the_job(self):
        script = "trap 'echo inner >> log; exit' TERM; echo x > inner; while :; do sleep 0.01; done"
        job = self.start("run", "nightly", "--", "sh", "-c",
                         f"trap 'echo outer >> log' TERM; sh -c '{script.replace(chr(39), chr(39) + chr(92) + chr(39) + chr(39))}' & "
                         "echo x > started; wait; wait; exit 6")
        self.text_of("started")
        self.text_of("inner")
        job.terminate()
        self.assertEqual(self.end_of(job).returncode, 6)
        self.assertEqual(sorted(self.lines_of("log")), ["inner", "outer"])

    def test_a_job_that_dies_of_it(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            with self.subTest(signal=number):
                job = self.start("run", "nightly", "--", *self.waiting_job(started=f"started{int(number)}"))
                self.text_of(f"started{int(number)}")
                job.send_signal(number)
                self.assertEqual(self.end_of(job).returncode, 128 + number)

    def test_a_job_that_ignores_it_keeps_running_and_keeps_the_lock(self):
        job = self.start("run", "nightly", "--", *self.logging_job(signal.SIGTERM))
        pid = self.number_in("started")
        job.terminate()
        wait_until(lambda: self.logged() == ["SIGTERM"], "the job heard it")
        self.rowlock("run", "--no-wait", "nightly", "--", "true", expect=BUSY)
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.end_of(job).returncode, 128 + signal.SIGKILL)

    def test_stop_and_continue(self):
        job = self.start("run", "--ttl", f"{KEPT}s", "nightly", "--", *self.logging_job(signal.SIGCONT))
        pid = self.number_in("started")
        for number in (signal.SIGTSTP,):
            job.send_signal(number)
            wait_until(lambda: stat_of(pid)[0] == "T", "the job is stopped")
        # For longer than the lease: without a terminal rowlock goes on renewing.
        self.rowlock("run", "--wait", f"{OUTLASTED}s", "nightly", "--", "true", expect=BUSY)
        job.send_signal(signal.SIGCONT)
        wait_until(lambda: "SIGCONT" in self.logged(), "the job goes on")
        self.assertNotEqual(stat_of(pid)[0], "T")
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(self.end_of(job).returncode, 128 + signal.SIGTERM)

    def test_inherited_as_ignored_stays_ignored(self):
        job = self.start("run", "nightly", "--", *self.logging_job(signal.SIGTERM),
                         preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.text_of("started")
        job.send_signal(signal.SIGHUP)  # would end the job, as `nohup` must prevent
        job.send_signal(signal.SIGTERM)
        wait_until(lambda: self.logged() == ["SIGTERM"], "the job lives")
        job.kill()

    def test_a_flood_of_them_does_not_change_the_exit_status(self):
        for status in range(20):
            process = self.start("run", "nightly", "--", "sh", "-c", f"exit {status}")
            while process.poll() is None:
                process.send_signal(signal.SIGWINCH)
            self.assertEqual(self.end_of(process).returncode, status, process.err.read_text())

    def test_a_closed_standard_error_ends_nothing(self):
        read, write = os.pipe()
        os.close(read)
        job = self.start("run", "nightly", "--", "sh", "-c", "sleep 3 & echo done > started; exit 2")
        os.close(write)
        self.assertEqual(self.end_of(job).returncode, 2)


class WhileWaiting(CommandTest):
    def setUp(self):
        super().setUp()
        self.holder = self.start("run", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        self.waiter = self.start("run", "nightly", "--", "touch", "ran")
        wait_until(lambda: self.waiters("nightly"), "the second waits")

    def test_interruption_leaves_the_queue(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                waiter = self.start("run", "nightly", "--", "touch", "ran")
                wait_until(lambda: len(self.waiters("nightly")) == 2, "one more waits")
                waiter.send_signal(number)
                # Died of it, which every shell shows as 128 + n.
                self.assertEqual(self.end_of(waiter).returncode, -number)
                self.assertEqual(waiter.err.read_text(), "")
                self.assertEqual(len(self.waiters("nightly")), 1)
        shell = self.start("-c", '"$0" run nightly -- touch ran; echo $? > status', harness.ROWLOCK, program="sh")
        wait_until(lambda: len(self.waiters("nightly")) == 2, "one more waits")
        os.kill(children_of(shell.pid)[0], signal.SIGTERM)
        self.assertEqual(self.number_in("status"), 143)
        self.assertFalse(self.path("ran").exists())

    @staticmethod
    def proc_status(pid):
        with open(f"/proc/{pid}/status") as file:
            return file.read()

    def test_control_without_interruption_it_runs(self):
        self.open_gate("gate")
        self.assertEqual(self.end_of(self.waiter).returncode, 0, self.waiter.err.read_text())
        self.assertTrue(self.path("ran").exists())

    def test_other_signals_do_not_end_the_wait(self):
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGALRM):
            self.waiter.send_signal(number)
        # Heard while it waits, or they would rightly reach the job.
        wait_until(lambda: re.search(r"ShdPnd:\s+0+\n", self.proc_status(self.waiter.pid)), "they are heard")
        self.open_gate("gate")
        self.assertEqual(self.end_of(self.waiter).returncode, 0, self.waiter.err.read_text())

    def test_killed_it_leaves_no_process_and_no_waiter(self):
        self.waiter.kill()
        self.end_of(self.waiter)
        wait_until(lambda: not self.waiters("nightly"), "nobody waits any more")
        self.open_gate("gate")
        self.end_of(self.holder)
        self.assert_nothing_left()
        self.assertFalse(self.path("ran").exists())

    def test_stopped_it_does_not_stand_in_the_way(self):
        self.waiter.send_signal(signal.SIGSTOP)
        wait_until(lambda: stat_of(self.waiter.pid)[0] == "T", "it is stopped")
        self.open_gate("gate")
        self.end_of(self.holder)
        # Its turn has come, but it cannot use it.
        self.rowlock("run", "--wait", "20s", "nightly", "--", "true")
        self.assertFalse(self.path("ran").exists())
        self.waiter.send_signal(signal.SIGCONT)
        self.assertEqual(self.end_of(self.waiter).returncode, 0, self.waiter.err.read_text())
        self.assertTrue(self.path("ran").exists())


if __name__ == "__main__":
    main()
