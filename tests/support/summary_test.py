"""What summary.py must not miss: programs that end without a report, failures outside of any case, stale reports."""
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

SUMMARY = pathlib.Path(__file__).with_name("summary.py")
PASSED = '<testcase name="p"/>'
FAILED = """<testcase name="f"><failure message="failure"><![CDATA[
ASSERTION FAILURE:
- file   : x.cpp
- line   : 7
- message: check a == b has failed

]]></failure><system-err><![CDATA[Failures detected in:
- test case: f
]]></system-err></testcase>"""
EXPECTED_TO_FAIL = '<testcase name="e"><failure message="failure">told</failure></testcase>'
DISABLED = """<testcase name="d"><skipped/><system-out><![CDATA[Test case disabled because of the following chain of decision:
- disabled test unit: 'd'
- reason: 'disabled']]></system-out></testcase>"""
NO_DATABASE = DISABLED.replace("'disabled'", "'precondition failed: no database'")
FIXTURE = '<testcase name="s-setup-teardown"/>'
FAILED_FIXTURE = FAILED.replace('name="f"', 'name="s-setup-teardown"')


class Summary(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.build = pathlib.Path(directory.name)
        (self.build / "meson-logs").mkdir()
        self.log = []

    def ran(self, result="OK", status=0, arguments=(), stdout="", started=None):
        self.log.append({"name": f"test{len(self.log)}", "result": result, "returncode": status, "stdout": stdout,
                         "starttime": started or time.time(), "command": ["program", *arguments]})

    def reported(self, *cases, name="report.xml", attributes="", **ran):
        (self.build / name).write_text(f"<testsuite {attributes}>{''.join(cases)}</testsuite>", encoding="utf-8")
        self.announced(name, **ran)

    def announced(self, name="report.xml", arguments=(), **ran):
        self.ran(arguments=[f"--logger=HRF,message,stdout:JUNIT,message,{self.build / name}", *arguments], **ran)

    def check(self, passed, failed, skipped, saying="", status=0):
        (self.build / "meson-logs" / "testlog.json").write_text("".join(json.dumps(test) + "\n" for test in self.log))
        done = subprocess.run([sys.executable, SUMMARY, "--run", self.build, str(status)], text=True, capture_output=True)
        self.assertEqual(done.stdout.splitlines()[-1:], [f"{passed} passed, {failed} failed, {skipped} skipped"],
                         done.stdout + done.stderr)
        self.assertIn(saying, done.stdout)
        self.assertEqual(done.returncode, 1 if failed or not passed else 0)

    def test_every_case_counts(self):
        self.reported(PASSED, PASSED, EXPECTED_TO_FAIL, FIXTURE)
        self.ran()
        self.check(4, 0, 0)

    def test_failed_case(self):
        self.reported(PASSED, FAILED, result="FAIL", status=201)
        self.check(1, 1, 0, "test0 f: x.cpp:7: check a == b has failed", status=1)

    def test_failed_fixture_of_a_program_that_ended_well(self):
        self.reported(PASSED, FAILED_FIXTURE)
        self.check(1, 1, 0)

    def test_skips_with_their_reasons(self):
        self.reported(PASSED, NO_DATABASE, DISABLED)
        self.ran(result="SKIP", status=77, stdout="looking\nno terminal here\n")
        self.check(1, 0, 3, "test1: no terminal here")

    def test_cases_that_the_command_line_leaves_out(self):
        self.reported(PASSED, NO_DATABASE, DISABLED, arguments=["--run_test=p"])
        self.check(1, 0, 1, "test0 d: no database")

    def test_crash_without_a_report(self):
        self.ran()
        self.announced(result="FAIL", status=-11)
        self.check(1, 1, 0, "killed by signal 11", status=1)

    def test_unfinished_report_of_a_program_that_said_all_is_well(self):
        self.ran()
        (self.build / "report.xml").write_text("<testsuite><testcase")
        self.announced()
        self.check(1, 1, 0)

    def test_timeout(self):
        self.ran()
        self.announced(result="TIMEOUT", status=-15)
        self.check(1, 1, 0, "did not end in time", status=1)

    def test_failure_after_the_last_case(self):
        self.reported(PASSED, result="FAIL", status=66)
        self.check(1, 1, 0, "exit status 66, though every case passed", status=1)

    def test_report_without_cases(self):
        self.ran()
        self.reported()
        self.check(1, 1, 0)

    def test_report_that_tells_of_more_failures_than_it_has(self):
        self.reported(PASSED, attributes='errors="1" failures="0"')
        self.check(1, 1, 0)

    def test_stale_report(self):
        self.ran()
        self.reported(PASSED, started=time.time() + 60)
        self.check(1, 1, 0, "older than the run")

    def test_one_report_for_two_programs(self):
        self.reported(PASSED)
        self.announced()
        self.check(1, 1, 0, "another test's report")

    def test_plain_tests(self):
        self.ran()
        self.ran(result="EXPECTEDFAIL", status=1)
        self.ran(result="FAIL", status=3)
        self.ran(result="UNEXPECTEDPASS")
        self.check(2, 2, 0, status=2)

    def test_nothing_ran(self):
        self.check(0, 1, 0, "ran nothing")

    def test_all_skipped_is_no_success(self):
        self.ran(result="SKIP", status=77)
        self.check(0, 0, 1)

    def test_meson_failed_although_no_test_did(self):
        self.ran()
        self.check(1, 1, 0, "exit status 2", status=2)


if __name__ == "__main__":
    unittest.main()
