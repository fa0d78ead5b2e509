"""Whatever is killed: no process of a job outlives its lock for long, and none is left behind."""
import os
import signal

import harness
from harness import LOST, CommandTest, children_of, is_alive, main, stat_of, wait_until

# A job with everything that could get away: a child in the group, a daemon of a session of its own whose parents have
# ended, and all of them deaf to everything but SIGKILL.
DEAF = "trap '' TERM HUP INT QUIT;"
TREE = f"""{DEAF} sh -c "{DEAF} echo \\$\\$ > child; while :; do sleep 1; done" &
setsid sh -c '(sh -c "{DEAF} echo \\$\\$ > daemon; while :; do sleep 1; done" &)' &
echo $$ > started; while :; do sleep 1; done"""


class Orphans(CommandTest):
    def start_tree(self, *arguments, program=None):
        process = self.start(*(arguments or ("run", "nightly", "--", "sh")), "-c", TREE, program=program)
        self.tree = [self.number_in(name) for name in ("started", "child", "daemon")]
        wait_until(lambda: stat_of(self.tree[2])[1] != self.tree[0], "the daemon's parents have ended")
        return process

    def assert_tree_gone(self):
        wait_until(lambda: not any(map(is_alive, self.tree)), "the whole tree is gone")
        self.assert_nothing_left()

    def test_control_the_tree_survives_the_death_of_a_shell(self):
        shell = self.start_tree("-c", '"$0" "$@"; true', "sh", program="sh")
        shell.kill()
        shell.wait()
        self.assertTrue(all(map(is_alive, self.tree)))

    def test_rowlock_is_killed(self):
        self.start_tree().kill()
        self.assert_tree_gone()

    def test_the_lock_is_not_released_before_they_are_gone(self):
        front = self.start_tree()
        waiter = self.start("run", "nightly", "--", "sh", "-c",
                            f"for pid in {' '.join(map(str, self.tree))}; do kill -0 $pid 2> /dev/null && exit 9; done; exit 0")
        wait_until(lambda: self.waiters("nightly"), "another one waits")
        front.kill()
        self.assertEqual(self.end_of(waiter).returncode, 0)

    def test_rowlock_and_its_whole_process_group_are_killed(self):
        front = self.start_tree()
        os.killpg(front.pid, signal.SIGKILL)
        self.assert_tree_gone()

    def test_the_keeper_is_killed(self):
        front = self.start_tree()
        keeper, = children_of(front.pid)
        os.kill(keeper, signal.SIGKILL)
        result = self.end_of(front)
        self.assertEqual(result.returncode, LOST)
        self.assert_one_line(result, "was killed")
        self.assert_tree_gone()

    def test_the_keeper_is_killed_while_rowlock_waits(self):
        holder = self.start("run", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        waiter = self.start("run", "nightly", "--", "touch", "ran")
        wait_until(lambda: self.waiters("nightly"), "it waits")
        keeper, = children_of(waiter.pid)
        os.kill(keeper, signal.SIGKILL)
        self.assertEqual(self.end_of(waiter).returncode, 71)
        self.open_gate("gate")
        self.assertEqual(self.end_of(holder).returncode, 0)
        self.assertFalse(self.path("ran").exists())
        self.assert_nothing_left()

    def test_rowlock_is_killed_while_it_is_stopped(self):
        front = self.start_tree()
        front.send_signal(signal.SIGSTOP)
        front.kill()
        self.assert_tree_gone()

    def test_rowlock_is_killed_while_the_job_is_stopped(self):
        front = self.start_tree()
        os.killpg(self.tree[0], signal.SIGSTOP)
        front.kill()
        self.assert_tree_gone()

    def test_the_command_itself_is_killed_with_the_others_left(self):
        front = self.start_tree()
        os.kill(self.tree[0], signal.SIGKILL)
        wait_until(lambda: "the lock is held until" in front.err.read_text(), "it says that it waits")
        self.assertIsNone(front.poll())
        os.kill(self.tree[1], signal.SIGKILL)
        os.kill(self.tree[2], signal.SIGKILL)
        self.assertEqual(self.end_of(front).returncode, 128 + signal.SIGKILL)
        self.assert_nothing_left()

    def test_children_that_rowlock_had_before_are_not_the_jobs(self):
        # A shell that becomes rowlock has a child already.
        self.gate("gate")
        front = self.start("-c", 'sh -c "echo \\$\\$ > earlier; read line < gate" & exec "$0" run nightly -- sh -c '
                                 '"echo \\$\\$ > started; while :; do sleep 1; done"', harness.ROWLOCK, program="sh")
        earlier, job = self.number_in("earlier"), self.number_in("started")
        keeper, = [pid for pid in children_of(front.pid) if pid != earlier]
        os.kill(keeper, signal.SIGKILL)
        self.assertEqual(self.end_of(front).returncode, LOST)
        self.assertFalse(is_alive(job))
        self.assertTrue(is_alive(earlier))
        self.open_gate("gate")

    def test_a_job_that_forks_while_it_is_killed(self):
        front = self.start("run", "nightly", "--", "sh", "-c",
                           f"{DEAF} echo $$ > started; while :; do (setsid sleep 60 &) ; sleep 0.01; done")
        self.text_of("started")
        wait_until(lambda: len(self.marked()) > 10, "there are many")
        front.kill()
        self.assert_nothing_left()


if __name__ == "__main__":
    main()
