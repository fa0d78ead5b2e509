"""Counts what `meson test` really ran, down to the single test case, and prints it.

usage: summary.py --run BUILD_DIR STATUS [--run BUILD_DIR STATUS]...

STATUS is the exit status of `meson test` in BUILD_DIR. A Boost.Test program counts one for each of its test cases, as
told by the JUnit file that its command line names (`--logger=...:JUNIT,LEVEL,FILE`); any other test counts one. A
program that ended without finishing that file, or that failed after all its cases had passed, counts one failure more.

The last line is "N passed, N failed, N skipped". The exit status is 1 if anything failed or nothing ran.
"""
import argparse
import json
import pathlib
import re
import xml.etree.ElementTree


class Tally:
    def __init__(self):
        self.passed = 0
        self.failures = []
        self.skips = []

    def fail(self, name, why):
        self.failures.append((name, why))

    def skip(self, name, why):
        self.skips.append((name, why))


def last_line(text, fallback):
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else fallback


def how_it_ended(test):
    """What meson saw of the program as a whole."""
    code = test["returncode"]
    if test["result"] == "TIMEOUT":
        return "did not end in time"
    return f"killed by signal {-code}" if code < 0 else f"exit status {code}"


def report_of(test):
    """The JUnit file that the command line names, if it does."""
    for argument in test["command"]:
        if found := re.search(r"\bJUNIT,[^,:]*,(.+?\.xml)\b", argument):
            return pathlib.Path(found[1])
    return None


def count_plain(tally, name, test):
    if test["result"] in ("OK", "EXPECTEDFAIL"):
        tally.passed += 1
    elif test["result"] == "SKIP":
        tally.skip(name, last_line(test.get("stdout"), last_line(test.get("stderr"), "gave no reason")))
    else:
        tally.fail(name, how_it_ended(test))


def what_failed(case):
    """The first failed check of a case, in one line."""
    trouble = next((element for element in case if element.tag in ("failure", "error")), None)
    if trouble is None:
        return "failed without a failed check"
    text = trouble.text or ""
    told = dict(re.findall(r"^- (file|line|message) *: *(.*)", text, re.M)[::-1])
    exception = re.search(r"^EXCEPTION STACK TRACE: -+\n(.*?)\n-+$", text, re.M | re.S)
    message = exception[1] if exception else told.get("message", trouble.get("message"))
    return f"{told['file']}:{told.get('line')}: {message}" if "file" in told else message


def count_case(tally, program, case, selected):
    """One <testcase>; true if it failed. `selected`: the command line picks cases, and leaves the others to others."""
    name = " ".join((program, ".".join(filter(None, (case.get("classname"), case.get("name"))))))
    # The one sure sign: a case that was expected to fail has failed checks, too.
    if (case.findtext("system-err") or "").startswith("Failures detected in:"):
        tally.fail(name, what_failed(case))
        return True
    if case.find("skipped") is not None:
        found = re.search(r"^- reason: '(.*)'$", case.findtext("system-out") or "", re.M)
        reason = found[1] if found else "gave no reason"
        if not (selected and reason == "disabled"):
            tally.skip(name, reason.removeprefix("precondition failed: "))
    # Fixtures of suites and of the program look like cases; they count when they fail only.
    elif not re.search(r"-(setup-teardown|timed-execution)$|^boost_test$", case.get("name", "")):
        tally.passed += 1
    return False


def count_boost(tally, name, test, report):
    try:
        if report.stat().st_mtime + 1 < test["starttime"]:
            raise FileNotFoundError("the report is older than the run")
        root = xml.etree.ElementTree.parse(report).getroot()
        cases = list(root.iter("testcase"))
        if root.tag == "testsuites" or not cases:
            raise ValueError("ran no test case")
    except (OSError, ValueError, xml.etree.ElementTree.ParseError) as problem:
        if test["result"] == "SKIP":
            count_plain(tally, name, test)
        else:
            tally.fail(name, f"{how_it_ended(test)}, no usable report: {problem}")
        return
    selected = any(re.match(r"(-t|--run_test)\b", argument) for argument in test["command"])
    failed = sum(count_case(tally, name, case, selected) for case in cases)
    if failed < sum(int(root.get(kind, 0)) for kind in ("errors", "failures")):
        tally.fail(name, "its report tells of more failures than it has")
    if test["result"] not in ("OK", "EXPECTEDFAIL", "SKIP") and not failed:
        tally.fail(name, f"{how_it_ended(test)}, though every case passed")


def count_run(tally, build, status, label):
    before = len(tally.failures)
    log = build / "meson-logs" / "testlog.json"
    reports = set()
    ran = 0
    # Meson writes one JSON object a line.
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []:
        test = json.loads(line)
        name = label + test["name"]
        ran += 1
        report = report_of(test)
        if report is None:
            count_plain(tally, name, test)
        elif report in reports:
            tally.fail(name, f"{report} is another test's report, too")
        else:
            reports.add(report)
            count_boost(tally, name, test, report)
    if not ran:
        tally.fail(label + "meson test", f"ran nothing (exit status {status})")
    elif status and len(tally.failures) == before:
        tally.fail(label + "meson test", f"exit status {status}")


def show(heading, entries):
    if entries:
        print(f"\n{heading}:")
        for name, why in entries:
            print(f"  {name}: {why}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", nargs=2, action="append", required=True, metavar=("BUILD_DIR", "STATUS"))
    runs = [(pathlib.Path(build), int(status)) for build, status in parser.parse_args().run]
    tally = Tally()
    for build, status in runs:
        count_run(tally, build, status, f"{build.name}: " if len(runs) > 1 else "")
    show("Skipped", tally.skips)
    show("Failed", tally.failures)
    print(f"\n{tally.passed} passed, {len(tally.failures)} failed, {len(tally.skips)} skipped")
    return 1 if tally.failures or not tally.passed else 0


if __name__ == "__main__":
    raise SystemExit(main())
