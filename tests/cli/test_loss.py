"""The lock is lost while the job runs: it is told why, ended, and killed if it does not end."""
import os
import signal
import time

from harness import BUSY, KEPT, LOST, OUTLASTED, CommandTest, children_of, is_alive, main, stat_of, wait_until


class Loss(CommandTest):
    def keeper_of(self, front):
        """The child of rowlock that holds the lock and is the job's parent."""
        return children_of(front.pid)[0]

    def test_control_a_lease_is_renewed_while_nothing_happens(self):
        began = time.monotonic()
        job = self.start("run", "--ttl", f"{KEPT}s", "nightly", "--", *self.waiting_job(status=3))
        self.text_of("started")
        wait_until(lambda: time.monotonic() - began > OUTLASTED or job.poll() is not None, "more than the lease has passed")
        self.assertIsNone(job.poll(), job.err.read_text())
        self.open_gate("gate")
        self.assertEqual(self.end_of(job).returncode, 3)
        self.assertEqual(job.err.read_text(), "")

    def test_broken_by_an_operator(self):
        job = self.start("run", "--ttl", "1s", "nightly", "--", *self.waiting_job())
        pid = self.number_in("started")
        broken = self.rowlock("break", "nightly", "--reason", "host db3 'hangs'")
        self.assertEqual(broken.stdout, 'broken: "nightly"\n')
        result = self.end_of(job)
        self.assertEqual(result.returncode, LOST)
        self.assert_one_line(result, 'lost the lock "nightly"', "host db3 'hangs'", "ending the command")
        self.assertFalse(is_alive(pid))
        self.assert_nothing_left()
        self.rowlock("run", "--no-wait", "nightly", "--", "true")

    def test_term_first_and_kill_after_the_grace(self):
        job = self.start("run", "--ttl", "1s", "--grace", "700ms", "nightly", "--", *self.logging_job(signal.SIGTERM))
        pid = self.number_in("started")
        self.rowlock("break", "nightly", "--reason", "test")
        self.assertEqual(self.end_of(job).returncode, LOST)
        ended = time.monotonic()
        self.assertEqual(self.logged(), ["SIGTERM"])
        told = float(self.lines_of("log")[0].split()[1])
        self.assertGreaterEqual(ended - told, 0.6)
        self.assertFalse(is_alive(pid))

    def test_no_grace(self):
        job = self.start("run", "--ttl", "1s", "--grace", "0s", "nightly", "--", *self.logging_job(signal.SIGTERM))
        self.text_of("started")
        self.rowlock("break", "nightly", "--reason", "test")
        self.assertEqual(self.end_of(job).returncode, LOST)

    def test_a_job_that_ends_in_good_order_is_not_killed(self):
        job = self.start("run", "--ttl", "1s", "--grace", "1h", "nightly", "--", "sh", "-c",
                         "trap 'echo cleaned > log; exit 0' TERM; echo $$ > started; while :; do sleep 0.01; done")
        self.text_of("started")
        self.rowlock("break", "nightly", "--reason", "test")
        self.assertEqual(self.end_of(job).returncode, LOST)  # not the 0 of the job
        self.assertEqual(self.lines_of("log"), ["cleaned"])

    def test_a_stopped_job_is_ended_too(self):
        job = self.start("run", "--ttl", "1s", "--grace", "1h", "nightly", "--", *self.waiting_job())
        pid = self.number_in("started")
        os.kill(pid, signal.SIGSTOP)
        self.rowlock("break", "nightly", "--reason", "test")
        self.assertEqual(self.end_of(job).returncode, LOST)

    def test_daemons_of_the_job_are_ended_too(self):
        job = self.start("run", "--ttl", "1s", "--grace", "500ms", "nightly", "--", "sh", "-c",
                         "setsid sh -c 'trap \"\" TERM; echo $$ > daemon; while :; do sleep 1; done' & echo $$ > started; wait")
        self.text_of("daemon")
        self.rowlock("break", "nightly", "--reason", "test")
        self.assertEqual(self.end_of(job).returncode, LOST)
        self.assert_nothing_left()

    def test_paused_past_the_lease_while_another_took_over(self):
        job = self.start("run", "--ttl", "500ms", "--grace", "500ms", "nightly", "--", *self.logging_job(signal.SIGTERM))
        pid = self.number_in("started")
        keeper = self.keeper_of(job)
        # As when the whole machine, or container, is paused; but the job itself runs on.
        for process in (job.pid, keeper):
            os.kill(process, signal.SIGSTOP)
            wait_until(lambda: stat_of(process)[0] == "T", "it is stopped")
        self.gate("gate2")
        other = self.start("run", "--wait", "20s", "nightly", "--", *self.waiting_job("gate2", "started2"))
        self.text_of("started2")  # the lease ran out, nobody could prevent that
        self.assertTrue(is_alive(pid))
        self.assertEqual(self.logged(), [])
        job.send_signal(signal.SIGCONT)  # continues the keeper, too
        result = self.end_of(job)
        self.assertEqual(result.returncode, LOST)
        self.assert_one_line(result, "lease ran out")
        self.assertEqual(self.logged(), ["SIGTERM"])
        self.assertFalse(is_alive(pid))
        # And the other one was not disturbed by that.
        self.assertEqual([h["owner"].split(":")[1] for h in self.holders("nightly")], [str(other.pid)])
        self.open_gate("gate2")
        self.assertEqual(self.end_of(other).returncode, 0)

    def test_rowlock_alone_is_stopped_past_the_lease(self):
        job = self.start("run", "--ttl", "500ms", "--grace", "300ms", "nightly", "--", *self.logging_job(signal.SIGTERM))
        pid = self.number_in("started")
        job.send_signal(signal.SIGSTOP)
        # Another one gets in, but only when the job is gone.
        self.rowlock("run", "--wait", "20s", "nightly", "--", "sh", "-c", f"kill -0 {pid} && exit 9; exit 0")
        self.assertEqual(self.logged(), ["SIGTERM"])
        self.assertEqual(stat_of(job.pid)[0], "T")
        job.send_signal(signal.SIGCONT)
        result = self.end_of(job)
        self.assertEqual(result.returncode, LOST)
        self.assert_one_line(result, "stopped for longer than")

    def test_rowlock_alone_is_stopped_for_a_moment(self):
        job = self.start("run", "--ttl", "1h", "nightly", "--", *self.waiting_job(status=3))
        self.text_of("started")
        job.send_signal(signal.SIGSTOP)
        wait_until(lambda: stat_of(job.pid)[0] == "T", "it is stopped")
        job.send_signal(signal.SIGCONT)
        self.open_gate("gate")
        self.assertEqual(self.end_of(job).returncode, 3)

    def test_only_the_keeper_is_stopped(self):
        job = self.start("run", "--ttl", f"{KEPT}s", "nightly", "--", *self.waiting_job(status=3))
        self.text_of("started")
        keeper = self.keeper_of(job)
        os.kill(keeper, signal.SIGSTOP)
        # Rowlock does not leave it at that.
        self.rowlock("run", "--wait", f"{OUTLASTED}s", "nightly", "--", "true", expect=BUSY)
        self.open_gate("gate")
        self.assertEqual(self.end_of(job).returncode, 3)


if __name__ == "__main__":
    main()
