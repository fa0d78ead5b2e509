"""Job control, at a terminal, through an interactive shell."""
import os
import re
import signal
import sys

import harness
from harness import BUSY, KEPT, OUTLASTED, CommandTest, Terminal, children_of, is_alive, main, stat_of, wait_until


class JobControl(CommandTest):
    def test_the_job_reads_the_terminal(self):
        terminal = Terminal(self)
        terminal.line('"$ROWLOCK" run nightly -- sh -c \'echo ask; read answer; echo "got <$answer>"\'')
        terminal.expect(r"\nask\n")
        terminal.line("hello")
        terminal.expect("got <hello>")
        terminal.expect(re.escape(terminal.PROMPT))
        self.assertEqual(terminal.command("echo status $?"), "status 0\n")

    def test_interrupt_reaches_the_job_once(self):
        terminal = Terminal(self)
        job = self.logging_job(signal.SIGINT)
        self.path("job.py").write_text(job[2])
        terminal.line(f'"$ROWLOCK" run nightly -- {job[0]} job.py')
        pid = self.number_in("started")
        self.assertEqual(terminal.foreground(), pid)
        terminal.send("\x03")
        wait_until(lambda: self.logged(), "it was interrupted")
        os.kill(pid, signal.SIGKILL)
        terminal.expect(re.escape(terminal.PROMPT))
        self.assertEqual(self.logged(), ["SIGINT"])
        self.assertEqual(terminal.command("echo status $?"), "status 137\n")
        self.assertEqual(terminal.foreground(), terminal.pid)

    def test_a_job_that_dies_of_an_interrupt_ends_the_loop_around_it(self):
        terminal = Terminal(self)
        terminal.line('for i in 1 2 3; do echo round $i; "$ROWLOCK" run nightly -- sh -c "echo > started; exec sleep 100"; done')
        self.text_of("started")
        terminal.send("\x03")
        shown = terminal.expect(r"(?s)(.*?)" + re.escape(terminal.PROMPT))[1]
        self.assertIn("round 1", shown)
        self.assertNotIn("round 2\n", shown)
        self.assertEqual(terminal.command("echo status $?"), "status 130\n")

    def test_and_the_script_around_it(self):
        terminal = Terminal(self)
        self.path("script").write_text('"$ROWLOCK" run nightly -- sh -c "echo > started; exec sleep 100"\necho went on\n')
        for shell in ("bash", "dash"):
            terminal.line(f"{shell} script")
            self.text_of("started")
            terminal.send("\x03")
            shown = terminal.expect(r"(?s)(.*?)" + re.escape(terminal.PROMPT))[1]
            self.assertNotIn("went on", shown)
            self.path("started").unlink()

    def stopped_job(self, terminal, *options):
        self.gate("gate")
        terminal.line(f'"$ROWLOCK" run {" ".join(options)} nightly -- '
                      "sh -c 'echo $$ > started; read line < gate; read answer; echo got $answer; exit 3'")
        pid = self.number_in("started")
        wait_until(lambda: terminal.foreground() == pid, "the job has the terminal")
        terminal.send("\x1a")
        terminal.expect(r"Stopped.*\n")
        terminal.expect(re.escape(terminal.PROMPT))
        self.assertEqual(stat_of(pid)[0], "T")
        self.assertEqual(terminal.foreground(), terminal.pid)
        return pid

    def test_continued_once(self):
        terminal = Terminal(self)
        self.path("job.py").write_text(self.logging_job(signal.SIGCONT)[2])
        terminal.line(f'"$ROWLOCK" run nightly -- {sys.executable} job.py')
        pid = self.number_in("started")
        for count in (1, 2, 3):
            terminal.send("\x1a")
            terminal.expect(r"Stopped.*\n")
            terminal.line("fg")
            wait_until(lambda: terminal.foreground() == pid and len(self.logged()) >= count, "the job goes on")
        terminal.send("\x03")
        terminal.expect(re.escape(terminal.PROMPT))
        self.assertEqual(self.logged(), ["SIGCONT"] * 3)

    def test_stop_and_foreground(self):
        terminal = Terminal(self)
        pid = self.stopped_job(terminal)
        self.assertRegex(terminal.command("jobs"), r"\[1\].*Stopped")
        terminal.line("fg")
        wait_until(lambda: stat_of(pid)[0] != "T" and terminal.foreground() == pid, "the job goes on, with the terminal")
        self.open_gate("gate")
        terminal.line("hello")
        terminal.expect("got hello")
        terminal.expect(re.escape(terminal.PROMPT))
        self.assertEqual(terminal.command("echo status $?"), "status 3\n")

    def test_stop_twice(self):
        terminal = Terminal(self)
        pid = self.stopped_job(terminal)
        terminal.line("fg")
        wait_until(lambda: stat_of(pid)[0] != "T" and terminal.foreground() == pid, "the job goes on")
        terminal.send("\x1a")
        terminal.expect(r"Stopped.*\n")
        self.assertEqual(stat_of(pid)[0], "T")
        terminal.command("kill %1; wait %1 2>/dev/null; true")
        wait_until(lambda: not is_alive(pid), "the job is gone")

    def test_background(self):
        terminal = Terminal(self)
        pid = self.stopped_job(terminal)
        terminal.line("bg")
        wait_until(lambda: stat_of(pid)[0] != "T", "the job goes on")
        self.assertEqual(terminal.foreground(), terminal.pid)
        self.open_gate("gate")
        # It now wants to read, and is stopped for that; the shell has to notice.
        wait_until(lambda: stat_of(pid)[0] == "T", "the job wants the terminal")
        wait_until(lambda: "Stopped" in terminal.command("jobs"), "the shell knows")
        terminal.line("fg")
        terminal.line("hello")
        terminal.expect("got hello")

    def test_continued_behind_the_shells_back(self):
        terminal = Terminal(self)
        self.path("job.py").write_text(self.logging_job(signal.SIGCONT)[2])
        terminal.line(f'"$ROWLOCK" run --ttl {KEPT}s nightly -- {sys.executable} job.py')
        pid = self.number_in("started")
        terminal.send("\x1a")
        terminal.expect(r"Stopped.*\n")
        front = stat_of(stat_of(pid)[1])[1]
        self.assertEqual(stat_of(front)[0], "T")
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: self.logged() and stat_of(front)[0] != "T", "rowlock goes on with it")
        wait_until(lambda: "Running" in terminal.command("jobs"), "the shell knows")
        self.rowlock("run", "--wait", f"{OUTLASTED}s", "nightly", "--", "true", expect=BUSY)
        self.assertEqual(self.logged(), ["SIGCONT"])

    def test_a_stopped_job_keeps_its_lock(self):
        terminal = Terminal(self)
        pid = self.stopped_job(terminal, "--ttl", f"{KEPT}s")
        self.rowlock("run", "--wait", f"{OUTLASTED}s", "nightly", "--", "true", expect=BUSY)
        terminal.line("fg")
        wait_until(lambda: terminal.foreground() == pid, "the job goes on")
        self.open_gate("gate")
        terminal.line("hello")
        terminal.expect("got hello")
        terminal.expect(re.escape(terminal.PROMPT))
        self.assertEqual(terminal.command("echo status $?"), "status 3\n")

    def test_a_stopped_job_whose_lock_is_broken_is_ended(self):
        terminal = Terminal(self)
        pid = self.stopped_job(terminal, "--ttl", f"{KEPT}s")
        self.rowlock("break", "nightly", "--reason", "test")
        wait_until(lambda: not is_alive(pid), "the job is gone")
        wait_until(lambda: "Exit 74" in terminal.command("jobs"), "the shell knows")

    def test_started_in_the_background_and_brought_to_the_foreground(self):
        terminal = Terminal(self)
        self.gate("gate")
        terminal.line('"$ROWLOCK" run nightly -- sh -c \'echo $$ > started; read line < gate; read answer; echo got $answer\' &')
        pid = self.number_in("started")
        self.assertEqual(terminal.foreground(), terminal.pid)
        terminal.line("fg")
        wait_until(lambda: terminal.foreground() != terminal.pid, "rowlock has the terminal")
        self.open_gate("gate")
        terminal.line("hello")
        terminal.expect("got hello")
        wait_until(lambda: not is_alive(pid), "the job has ended")

    def test_stopped_while_waiting_it_leaves_the_queue(self):
        holder = self.start("run", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        terminal = Terminal(self)
        terminal.line('"$ROWLOCK" run nightly -- echo it runs')
        wait_until(lambda: self.waiters("nightly"), "it waits")
        terminal.send("\x1a")
        terminal.expect(r"Stopped.*\n")
        self.assertEqual(self.waiters("nightly"), [])
        terminal.line("fg")
        wait_until(lambda: self.waiters("nightly"), "it waits again")
        self.open_gate("gate")
        terminal.expect("it runs\n")
        self.end_of(holder)

    def test_interrupted_while_waiting(self):
        holder = self.start("run", "nightly", "--", *self.waiting_job())
        self.text_of("started")
        terminal = Terminal(self)
        terminal.line('"$ROWLOCK" run nightly -- echo it runs')
        wait_until(lambda: self.waiters("nightly"), "it waits")
        terminal.send("\x03")
        terminal.expect(re.escape(terminal.PROMPT))
        self.assertEqual(terminal.command("echo status $?"), "status 130\n")
        self.assertEqual(self.waiters("nightly"), [])
        self.open_gate("gate")
        self.end_of(holder)

    def test_rowlock_is_killed_and_the_shell_gets_the_terminal_back(self):
        terminal = Terminal(self)
        pid = self.stopped_job(terminal)
        terminal.line("fg")
        wait_until(lambda: terminal.foreground() == pid, "the job goes on")
        front = stat_of(stat_of(pid)[1])[1]
        os.kill(front, signal.SIGKILL)
        terminal.expect("Killed")
        terminal.expect(re.escape(terminal.PROMPT))
        wait_until(lambda: not is_alive(pid), "the job is gone")
        self.assertEqual(terminal.command("echo status $?"), "status 137\n")

    def test_the_terminal_goes_away(self):
        terminal = Terminal(self)
        job = self.logging_job(signal.SIGHUP, then="break")
        self.path("job.py").write_text(job[2])
        terminal.line(f'"$ROWLOCK" run nightly -- {job[0]} job.py')
        self.text_of("started")
        os.close(terminal.fd)
        terminal.fd = os.open("/dev/null", os.O_RDONLY)
        wait_until(lambda: "SIGHUP" in self.logged(), "the job heard of it")
        wait_until(lambda: not children_of(terminal.pid), "rowlock has ended")

    def test_in_a_pipeline(self):
        terminal = Terminal(self)
        self.assertEqual(terminal.command('echo hello | "$ROWLOCK" run nightly -- cat | tr a-z A-Z'), "HELLO\n")
        self.assertEqual(terminal.foreground(), terminal.pid)

    def test_nobody_could_continue_it_so_it_is_not_stopped(self):
        # As the first process of a container: there is no shell that would know of a stopped job.
        self.path("job.py").write_text(self.logging_job(signal.SIGCONT, then="print('got', input())")[2])
        terminal = Terminal(self, (harness.ROWLOCK, "run", "nightly", "--", sys.executable, "job.py"))
        pid = self.number_in("started")
        wait_until(lambda: terminal.foreground() == pid, "the job has the terminal")
        terminal.send("\x1a")
        wait_until(self.logged, "the job was continued at once")
        terminal.line("hello")
        terminal.expect("got hello")
        self.assertEqual(self.logged(), ["SIGCONT"])


if __name__ == "__main__":
    main()
