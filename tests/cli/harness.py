"""What the tests of the command have in common: they drive the real binary, as a user would.

Each test program is called `test_x.py ROWLOCK --logger=JUNIT,all,REPORT.xml [unittest arguments]` and writes one
<testcase> for every test it ran into REPORT.xml, in the form of Boost.Test's JUnit logger, so that one summary counts
all tests of the project.
"""
import contextlib
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid
import xml.etree.ElementTree as xml

ROWLOCK = None  # path of the binary, set by main()
PATIENCE = 30.0  # how long a condition may take on a busy machine before that is a failure
# A lease that only renewals keep, and a time that is longer. Other work on the machine delays a renewal's write to the
# disk by half a second now and then; that must not look like a lease that was not renewed.
KEPT, OUTLASTED = 2, 5  # seconds

BUSY, LOST, USAGE, DATABASE = 75, 74, 64, 69


def wait_until(condition, what, patience=PATIENCE):
    """Polls until `condition()` is true, and returns what it returned."""
    end = time.monotonic() + patience
    while True:
        if result := condition():
            return result
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience} s in vain: {what}")
        time.sleep(0.005)


def stat_of(pid):
    """(state, parent, group) of a process, or None."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(") ")[2].split()
    except OSError:
        return None
    return (fields[0], int(fields[1]), int(fields[2])) if fields else None


def is_alive(pid):
    stat = stat_of(pid)
    return stat is not None and stat[0] not in "ZX"


def children_of(pid):
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [child for child in pids if (stat := stat_of(child)) and stat[1] == pid and stat[0] not in "ZX"]


class CommandTest(unittest.TestCase):
    """Every test has a directory, a home and a default database of its own, and must leave no process behind."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="rowlock-cli-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        # Inherited by every process that the test starts, however it hides.
        self.marker = f"ROWLOCK_TEST={uuid.uuid4()}"
        self.env = {name: value for name, value in os.environ.items()
                    if not name.startswith(("ROWLOCK_", "XDG_")) and name != "HOME"}
        self.env |= {"HOME": str(self.directory / "home"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        self.env.update([self.marker.split("=")])
        self.started = []
        self.addCleanup(self.end_everything)

    # --- processes --------------------------------------------------------------------------------------------------

    def marked(self):
        """All living processes that this test has started, directly or not."""
        found = []
        for entry in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if entry.isdigit() and self.marker.encode() in pathlib.Path(f"/proc/{entry}/environ").read_bytes():
                    if int(entry) != os.getpid() and is_alive(int(entry)):
                        found.append(int(entry))
        return found

    def end_everything(self):
        while left := self.marked():
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
        for process in self.started:
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()

    def assert_nothing_left(self):
        wait_until(lambda: not self.marked(), "no process of the test is left")

    def start(self, *arguments, env=None, program=None, **more):
        """Starts `rowlock ARGUMENTS`; standard output and error are kept in files until `end_of()`."""
        index = len(self.started)
        out, err = self.directory / f"out{index}", self.directory / f"err{index}"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen([program or ROWLOCK, *map(str, arguments)], env=self.env | (env or {}),
                                       stdin=subprocess.DEVNULL, stdout=out_file, stderr=err_file,
                                       # Away from the terminal of whoever runs the tests.
                                       start_new_session=True, cwd=self.directory, **more)
        process.out, process.err = out, err
        self.started.append(process)
        return process

    def end_of(self, process, patience=PATIENCE):
        """Waits for the end of `process`; it then has `.stdout` and `.stderr` as text."""
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            self.fail(f"{process.args} did not end; so far it said: {process.err.read_text(errors='replace')}")
        return subprocess.CompletedProcess(process.args, process.returncode, process.out.read_text(errors="replace"),
                                           process.err.read_text(errors="replace"))

    def rowlock(self, *arguments, expect=0, **more):
        """Runs `rowlock ARGUMENTS` to its end."""
        result = self.end_of(self.start(*arguments, **more))
        if expect is not None:
            self.assertEqual(result.returncode, expect, f"{result.args}\n{result.stdout}\n{result.stderr}")
        return result

    def assert_one_line(self, result, *parts):
        """One clear line on standard error, and no more."""
        self.assertRegex(result.stderr, r"\Arowlock: [^\n]+\n\Z")
        for part in parts:
            self.assertIn(part, result.stderr)

    # --- jobs -------------------------------------------------------------------------------------------------------

    def path(self, name):
        return self.directory / name

    def text_of(self, name):
        """Waits for a file that ends with a complete line, and returns its text."""
        def complete():
            with contextlib.suppress(OSError):
                text = self.path(name).read_text()
                return text if text.endswith("\n") else None
        return wait_until(complete, f"{name} was written")

    def number_in(self, name):
        return int(self.text_of(name).split()[-1])

    def lines_of(self, name):
        with contextlib.suppress(OSError):
            return self.path(name).read_text().splitlines()
        return []

    def gate(self, name):
        """A FIFO: a job that reads a line from it waits until `open_gate`."""
        os.mkfifo(self.path(name))
        return self.path(name)

    def open_gate(self, name):
        """Lets one job through that waits at the gate."""
        def opened():
            with contextlib.suppress(OSError):  # ENXIO: nobody is at the gate yet
                return os.open(self.path(name), os.O_WRONLY | os.O_NONBLOCK)
        fd = wait_until(opened, f"somebody waits at the gate {name}")
        os.write(fd, b"go\n")
        os.close(fd)

    def waiting_job(self, gate="gate", started="started", status=0):
        """A command that says its process id in the file `started`, and ends when the gate is opened."""
        if not self.path(gate).exists():
            self.gate(gate)
        return ["sh", "-c", f'echo $$ > {started}; read line < {gate}; exit {status}']

    def logging_job(self, *numbers, log="log", started="started", then="pass"):
        """A command that writes the names of the signals `numbers` into a log instead of suffering them."""
        # Waits for them instead of handling them: Python runs a handler that comes just before a blocking call only
        # after that call.
        program = f"""
import os, signal, time
signals = {[int(n) for n in numbers]}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
with open({started!r}, "w") as started:
    started.write(f"{{os.getpid()}}\\n")
while True:
    number = signal.sigwaitinfo(signals).si_signo
    with open({log!r}, "a") as log:
        log.write(f"{{signal.Signals(number).name}} {{time.monotonic()}}\\n")
    {then}
"""
        return [sys.executable, "-c", program]

    def logged(self, log="log"):
        return [line.split()[0] for line in self.lines_of(log)]

    # --- locks ------------------------------------------------------------------------------------------------------

    def status(self, *arguments, **more):
        return json.loads(self.rowlock("status", "--json", *arguments, **more).stdout)["locks"]

    def waiters(self, name, **more):
        return [waiter for lock in self.status(**more) if lock["name"] == name for waiter in lock["waiters"]]

    def holders(self, name, **more):
        return [holder for lock in self.status(**more) if lock["name"] == name for holder in lock["holders"]]


class Terminal:
    """A shell with job control at a terminal of its own."""

    PROMPT = "ready> "

    def __init__(self, test, shell=("bash", "--norc", "--noprofile", "-i")):
        self.test = test
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(test.directory)
            os.execvpe(shell[0], shell, test.env | {"PS1": self.PROMPT, "TERM": "dumb", "ROWLOCK": ROWLOCK,
                                                    "HISTFILE": ""})
        test.addCleanup(self.close)
        if "-i" in shell:
            self.expect(re.escape(self.PROMPT))

    def close(self):
        os.close(self.fd)
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.waitpid(self.pid, 0)

    def send(self, text):
        os.write(self.fd, text.encode())

    def line(self, text):
        self.send(text + "\n")

    def expect(self, pattern, patience=PATIENCE):
        """Reads until `pattern` was shown, and forgets everything up to its end."""
        end = time.monotonic() + patience
        while not (found := re.search(pattern, self.text)):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"the terminal did not show {pattern!r} but {self.text!r}")
            try:
                self.text += os.read(self.fd, 65536).decode(errors="replace").replace("\r", "")
            except OSError as closed:
                raise AssertionError(f"the terminal was closed; it showed {self.text!r}") from closed
        self.text = self.text[found.end():]
        return found

    def command(self, text):
        """Runs a command that ends, and returns what it showed."""
        self.line(text)
        self.expect(re.escape(text) + r"\n")
        return self.expect(r"(?s)\A(.*?)" + re.escape(self.PROMPT))[1]

    def foreground(self):
        return os.tcgetpgrp(self.fd)


# --- the report -----------------------------------------------------------------------------------------------------


class Result(unittest.TextTestResult):
    def __init__(self, *arguments, **more):
        super().__init__(*arguments, **more)
        self.cases = []  # (test, seconds, failure text or None, reason of a skip or None)

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def note(self, test, failure=None, skipped=None):
        self.cases.append((test, time.monotonic() - getattr(self, "began", time.monotonic()), failure, skipped))

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note(test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, skipped=reason)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, failure=self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, failure=self.errors[-1][1])

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note(subtest, failure=(self.failures + self.errors)[-1][1])


def write_report(path, cases):
    failures = sum(1 for case in cases if case[2])
    suite = xml.Element("testsuite", name=path.stem, tests=str(len(cases)), failures=str(failures), errors="0",
                        skipped=str(sum(1 for case in cases if case[3])))
    for test, seconds, failure, skipped in cases:
        group, _, name = test.id().removeprefix("__main__.").partition(".")
        case = xml.SubElement(suite, "testcase", classname=group, name=name, time=f"{seconds:.3f}")
        if failure:
            line = failure.strip().splitlines()[-1]
            xml.SubElement(case, "failure", message=line, type="assertion").text = failure
            xml.SubElement(case, "system-err").text = f"Failures detected in:\n{failure}"
        elif skipped:
            xml.SubElement(case, "skipped", message=skipped)
            xml.SubElement(case, "system-out").text = f"Test case skipped because:\n- reason: '{skipped}'\n"
    # XML has no place for most control characters, and failures quote what programs wrote.
    text = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", "?", xml.tostring(suite, encoding="unicode"))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text + "\n", encoding="utf-8", errors="replace")
    part.replace(path)


def main():
    global ROWLOCK
    # A shell without job control starts its background jobs with these ignored, nohup(1) with the last, and that would
    # be inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    ROWLOCK = str(pathlib.Path(sys.argv[1]).resolve())
    report = pathlib.Path(re.fullmatch(r"--logger=JUNIT,[^,]*,(.+\.xml)", sys.argv[2])[1])
    report.unlink(missing_ok=True)
    program = unittest.main(argv=[sys.argv[0], "-v", *sys.argv[3:]], exit=False,
                            testRunner=unittest.TextTestRunner(stream=sys.stdout, resultclass=Result, verbosity=2))
    result = program.result
    write_report(report, result.cases)
    if not result.wasSuccessful():
        sys.exit(1)
    if result.cases and all(case[3] for case in result.cases):
        print(result.cases[-1][3])
        sys.exit(77)  # Meson's status for a skipped test
